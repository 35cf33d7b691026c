// bf16 screening, then fp32 scores for the keys that may be among the best.  Included inside an ISA namespace, after an
// engine (low_*.inl).

// Up to kBlockRuns runs of one tile: what an engine scores at once.
struct Block {
  ScreenTile* tile;
  const Run* runs;
  int count;
};

struct ScreenSpace {
  Place* places;
  ScreenTile* tiles;
  Run* rows;
  Run* runs[2];
  Block* blocks;
  float* scores;   // [kBlockRuns][kRun][16]
  float* queries;  // [C][kQueryStride]
};

static inline ScreenSpace carve_screened(const MatchJob& job, Carver& carver) {
  const int tiles = job.group_w * job.group_h;
  ScreenSpace space;
  space.places = carver.take<Place>(tiles);
  space.tiles = carver.take<ScreenTile>(tiles);
  space.rows = carver.take<Run>(job.height);
  for (Run*& runs : space.runs) runs = carver.take<Run>(job.max_runs);
  space.blocks = carver.take<Block>(job.max_runs + 2);
  space.scores = carver.take<float>(kBlockRuns * kRun * kLanes);
  space.queries = carver.take<float>(int64_t(job.channels) * kQueryStride);
  for (int i = 0; i < tiles; ++i) {
    ScreenTile tile = {};
    tile.packed = carver.take<uint16_t>(int64_t(job.padded_channels) * kLanes);
    tile.hits.upper = carver.take<float>(kHits * kLanes);
    tile.hits.positions = carver.take<int32_t>(kHits);
    tile.hits.masks = carver.take<uint16_t>(kHits);
    tile.lower = {carver.take<float>(job.topk * kLanes), nullptr, job.topk};
    tile.best.scores = carver.take<float>(job.topk * kLanes);
    tile.best.positions = carver.take<int32_t>(job.topk * kLanes);
    tile.best.k = job.topk;
    if (carver.base) space.tiles[i] = tile;
  }
  return space;
}

static int64_t screened_workspace(const MatchJob& job) {
  Carver carver = {nullptr, 0};
  carve_screened(job, carver);
  return carver.used;
}

// The tile's key rows in runs of at most kRun keys; returns their number (<= job.max_runs).
static int plan_runs(const MatchJob& job, const Place& place, Run* rows, Run* runs) {
  const int n_rows = plan_rows(job, place.x0, place.y0, rows);
  Run* next = runs;
  for (int r = 0; r < n_rows; ++r)
    for (int done = 0; done < rows[r].count; done += kRun) {
      const int left = rows[r].count - done;
      *next++ = {rows[r].key + done, left < kRun ? left : kRun, rows[r].masks + done};
    }
  return int(next - runs);
}

// Blocks of a pair of neighbours, alternating, so that the key rows they share are read from the cache.
static int plan_pair(const MatchJob& job, ScreenTile* tiles, int pair, const ScreenSpace& space, int64_t* stats) {
  int n_runs[2] = {0, 0}, next[2] = {0, 0}, count = 0;
  for (int t = 0; t < pair; ++t) {
    n_runs[t] = plan_runs(job, tiles[t].place, space.rows, space.runs[t]);
    stats[FGVC_STAT_PAIRS] += int64_t(n_runs[t]) * kRun * kLanes;
  }
  while (next[0] < n_runs[0] || next[1] < n_runs[1])
    for (int t = 0; t < pair; ++t) {
      if (next[t] >= n_runs[t]) continue;
      const int left = n_runs[t] - next[t], runs = left < kBlockRuns ? left : kBlockRuns;
      space.blocks[count++] = {tiles + t, space.runs[t] + next[t], runs};
      next[t] += runs;
    }
  return count;
}

// A missing run repeats the first one; its scores are not looked at.
static inline BlockInput input_of(const MatchJob& job, const fgvc_half& half, const Block& block) {
  BlockInput in;
  in.queries = block.tile->packed;
  in.channels = job.padded_channels;
  for (int r = 0; r < kBlockRuns; ++r)
    in.keys[r] = half.rows + int64_t(block.runs[r < block.count ? r : 0].key) * job.padded_channels;
  return in;
}

static inline void screen_block(const MatchJob& job, const fgvc_half& half, int32_t first, const Block& block,
                                const float* scores, float* queries, int64_t* stats) {
  ScreenTile& tile = *block.tile;
  Margins margins[kBlockRuns];
  for (int r = 0; r < block.count; ++r) {
    measure(tile, half, block.runs[r], margins[r]);
    if (!tile.warm) warm_up(tile, margins[r], block.runs[r], scores + r * kRun * kLanes);
  }
  const int before = tile.n_hits;
  for (int r = 0; r < block.count; ++r)
    screen_run(tile, margins[r], block.runs[r], first + block.runs[r].key, scores + r * kRun * kLanes);
  stats[FGVC_STAT_HITS] += tile.n_hits - before;
  tile.warm = true;
  make_room(job, tile, queries, stats);
}

// One block is multiplied while the one before it is screened.  Its sums are stored only after that: stores that wait
// for a matrix unit would hold up the screen's loads, whose addresses look alike in their low bits.
static void scan_pair(const MatchJob& job, ScreenTile* tiles, int pair, int slot, const ScreenSpace& space,
                      int64_t* stats) {
  const fgvc_half& half = job.key_halves[slot];
  const int32_t first = int32_t(int64_t(slot) * job.height * job.width);
  const int count = plan_pair(job, tiles, pair, space, stats);
  for (int at = 0; at <= count; ++at) {
    BlockInput in;
    if (at < count) {
      in = input_of(job, half, space.blocks[at]);
      begin_block(in);
    }
    if (at > 0) screen_block(job, half, first, space.blocks[at - 1], space.scores, space.queries, stats);
    if (at < count) end_block(in, space.scores);
  }
}

static void match_screened(const MatchJob& job, int group, void* workspace, int64_t* stats) {
  Carver carver = {static_cast<char*>(workspace), 0};
  const ScreenSpace space = carve_screened(job, carver);
  const int count = place_group(job, group, space.places);
  for (int i = 0; i < count; ++i) start_tile(job, space.places[i], space.tiles[i]);
  engine_begin();
  for (int slot = job.n_keys - 1; slot >= 0; --slot)
    for (int i = 0; i < count; i += 2) scan_pair(job, space.tiles + i, count - i < 2 ? 1 : 2, slot, space, stats);
  engine_end();
  for (int i = 0; i < count; ++i) {
    settle_hits(job, space.tiles[i], space.queries, stats);
    write_tile(job, space.tiles[i].place, space.tiles[i].best);
  }
}
