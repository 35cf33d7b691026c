// bf16 screening, then fp32 scores for the keys that may be among the best.  Included inside an ISA namespace, after an
// engine (low_*.inl) that defines engine_begin, engine_end and score_chunk.

// Up to two runs of one tile; two of these make a chunk, the unit an engine scores at once.
struct HalfChunk {
  ScreenTile* tile;
  const Run* runs;
  int count;
};

struct ScreenSpace {
  Place* places;
  ScreenTile* tiles;
  Run* runs[2];
  HalfChunk* half_chunks;
  float* scores;   // [2][4][kRun][16]
  float* queries;  // [C][16]
};

static inline ScreenSpace carve_screened(const MatchJob& job, Carver& carver) {
  const int tiles = job.group_w * job.group_h;
  ScreenSpace space;
  space.places = carver.take<Place>(tiles);
  space.tiles = carver.take<ScreenTile>(tiles);
  for (Run*& runs : space.runs) runs = carver.take<Run>(job.max_runs);
  space.half_chunks = carver.take<HalfChunk>(job.max_runs + 2);
  space.scores = carver.take<float>(2 * 4 * kRun * kLanes);
  space.queries = carver.take<float>(int64_t(job.channels) * kLanes);
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

// Half chunks of a pair of neighbours, alternating, so that the key rows they share are read from the cache.
static int plan_pair(const MatchJob& job, ScreenTile* tiles, int pair, const ScreenSpace& space, int64_t* stats) {
  int n_runs[2] = {0, 0}, next[2] = {0, 0}, count = 0;
  for (int t = 0; t < pair; ++t) {
    n_runs[t] = plan_runs(job, tiles[t].place.x0, tiles[t].place.y0, space.runs[t]);
    stats[FGVC_STAT_PAIRS] += int64_t(n_runs[t]) * kRun * kLanes;
  }
  while (next[0] < n_runs[0] || next[1] < n_runs[1])
    for (int t = 0; t < pair; ++t) {
      if (next[t] >= n_runs[t]) continue;
      const int runs = n_runs[t] - next[t] > 1 ? 2 : 1;
      space.half_chunks[count++] = {tiles + t, space.runs[t] + next[t], runs};
      next[t] += runs;
    }
  return count;
}

// A missing second half, or second run, repeats the one before it; its scores are not looked at.
static inline void score_halves(const MatchJob& job, const fgvc_half& half, const HalfChunk* halves, int count,
                                float* scores) {
  const uint16_t* queries[2];
  const uint16_t* keys[4];
  for (int h = 0; h < 2; ++h) {
    const HalfChunk& chunk = halves[h < count ? h : 0];
    queries[h] = chunk.tile->packed;
    for (int r = 0; r < 2; ++r)
      keys[2 * h + r] = half.rows + int64_t(chunk.runs[r < chunk.count ? r : 0].key) * job.padded_channels;
  }
  score_chunk(queries, keys, job.padded_channels, scores);
}

static inline void screen_halves(const MatchJob& job, const fgvc_half& half, int32_t first, const HalfChunk* halves,
                                 int count, const float* scores, float* queries, int64_t* stats) {
  for (int h = 0; h < count; ++h) {
    for (int r = 0; r < halves[h].count; ++r) {
      const Run& run = halves[h].runs[r];
      screen_run(*halves[h].tile, half, run, first + run.key, scores + (2 * h + r) * kRun * kLanes, stats);
    }
    make_room(job, *halves[h].tile, queries, stats);
  }
}

// The next chunk is scored before the last one is screened: a matrix unit works while the screen runs.
static void scan_pair(const MatchJob& job, ScreenTile* tiles, int pair, int slot, const ScreenSpace& space,
                      int64_t* stats) {
  const fgvc_half& half = job.key_halves[slot];
  const int32_t first = int32_t(int64_t(slot) * job.height * job.width);
  const int count = plan_pair(job, tiles, pair, space, stats);
  const HalfChunk* const halves = space.half_chunks;
  const auto size = [count](int at) { return count - at < 2 ? count - at : 2; };
  const auto buffer = [&space](int at) { return space.scores + (at / 2 & 1) * 4 * kRun * kLanes; };
  if (count) score_halves(job, half, halves, size(0), buffer(0));
  for (int at = 0; at < count; at += 2) {
    const int next = at + 2;
    if (next < count) score_halves(job, half, halves + next, size(next), buffer(next));
    screen_halves(job, half, first, halves + at, size(at), buffer(at), space.queries, stats);
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
