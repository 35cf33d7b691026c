// State of one tile of the screened path: what is known of the best keys from bf16 scores, and which keys are still in
// the running.  docs/screening.md has the proof.  Included inside an ISA namespace.

// More hits than this and the tile settles the ones it has; a block adds at most 4 * kRun between two checks.
constexpr int kHits = 512;

struct Hits {
  float* upper;        // [kHits][16] upper bounds of the exact scores, less query . centre
  int32_t* positions;  // [kHits]
  uint16_t* masks;     // [kHits]
};

struct ScreenTile {
  Place place;
  float query_norm, query_error;  // largest over the live lanes
  float slack;                    // rounding of what is not a bf16 sum
  int n_hits;
  bool warm;         // the first block has set a threshold
  uint16_t* packed;  // [padded C / 2][16][2] bf16: pairs of channels side by side, as every engine wants them
  Hits hits;
  TopK lower;  // best lower bounds
  TopK best;   // exact scores of the keys settled so far
};

static void start_tile(const MatchJob& job, const Place& place, ScreenTile& tile) {
  tile.place = place;
  tile.n_hits = 0;
  tile.warm = false;
  tile.query_norm = tile.query_error = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(place.live >> lane & 1)) continue;
    const int64_t pixel = lane_pixel(job, place, lane);
    const float error = job.query_half->error[pixel], norm = job.query_half->norm[pixel] + error;
    if (job.query_half->bias[pixel] == -__builtin_inff()) tile.place.live &= ~(1u << lane);
    if (norm > tile.query_norm) tile.query_norm = norm;
    if (error > tile.query_error) tile.query_error = error;
  }
  // The fp32 sum, the sum behind `bias`, and the few additions on the way.
  tile.slack = float((job.channels + 2) * 0x1p-23 * 1.01 + (job.channels / kLanes + 20) * 0x1p-22 + 0x1p-18);
  transpose_tile(job, tile.place, reinterpret_cast<const float*>(job.query_half->rows), job.padded_channels / 2,
                 kLanes, reinterpret_cast<float*>(tile.packed));
  clear(tile.lower, tile.place.live);
  clear(tile.best, tile.place.live);
}

static void drop_stale_hits(ScreenTile& tile) {
  const Lanes threshold = worst(tile.lower);
  int kept = 0;
  for (int i = 0; i < tile.n_hits; ++i) {
    const Lanes upper = load(tile.hits.upper + i * kLanes);
    const unsigned lanes = bits(greater(upper, threshold)) & tile.hits.masks[i];
    store(tile.hits.upper + kept * kLanes, upper);
    tile.hits.positions[kept] = tile.hits.positions[i];
    tile.hits.masks[kept] = uint16_t(lanes);
    kept += lanes != 0;
  }
  tile.n_hits = kept;
}

// The hits of a tile, as score_list wants them.
struct HitKeys {
  const float* const* frames;
  int64_t channels;
  int32_t pixels;
  const Hits& hits;
  int count;

  const float* key(int i) const {
    return frames[hits.positions[i] / pixels] + hits.positions[i] % pixels * channels;
  }
  unsigned mask(int, int i) const { return hits.masks[i]; }
  int32_t position(int i) const { return hits.positions[i]; }
};

// Exact scores for every hit that can still matter; the list is empty afterwards.  queries: [C][kQueryStride] scratch.
static void settle_hits(const MatchJob& job, ScreenTile& tile, float* queries, int64_t* stats) {
  drop_stale_hits(tile);
  transpose_tile(job, tile.place, job.query, job.channels, kQueryStride, queries);
  const HitKeys keys = {job.keys, job.channels, job.height * job.width, tile.hits, tile.n_hits};
  score_list<1>(keys, queries, job.channels, &tile.best);
  for (int i = 0; i < tile.n_hits; ++i) stats[FGVC_STAT_RESCORED] += __builtin_popcount(tile.hits.masks[i]);
  tile.n_hits = 0;
}

// Room for one more block: first by forgetting, then by settling.  Nothing is ever lost.
static inline void make_room(const MatchJob& job, ScreenTile& tile, float* queries, int64_t* stats) {
  if (__builtin_expect(tile.n_hits <= kHits - 4 * kRun, 1)) return;
  drop_stale_hits(tile);
  if (tile.n_hits <= kHits / 2) return;
  ++stats[FGVC_STAT_FLUSHES];
  settle_hits(job, tile, queries, stats);
}

// Of the keys of one run: how far a score may be from its bf16 sum, and what makes the sum an upper bound.
struct alignas(64) Margins {
  float margin[kRun], offset[kRun];
};

static inline void measure(const ScreenTile& tile, const fgvc_half& half, const Run& run, Margins& margins) {
  const float *error = half.error + run.key, *norm = half.norm + run.key, *bias = half.bias + run.key;
  for (int i = 0; i < kRun; ++i) {
    margins.margin[i] = tile.query_norm * error[i] + tile.query_error * norm[i] + tile.slack;
    margins.offset[i] = bias[i] + margins.margin[i];
  }
}

// Every key of the first block enters the list of lower bounds, without the branches that finding them one by one costs.
static inline void warm_up(const ScreenTile& tile, const Margins& margins, const Run& run, const float* scores) {
  for (int i = 0; i < run.count; ++i) {
    const Lanes lower = add(load(scores + i * kLanes), broadcast(margins.offset[i] - 2 * margins.margin[i]));
    insert_scores(tile.lower, only(run.masks[i], lower));
  }
}

// Notes a key that may be among the best of `lanes`; returns the threshold from here on.
static __attribute__((noinline)) Lanes admit(ScreenTile& tile, Lanes upper, unsigned lanes, int32_t position,
                                             float margin) {
  store(tile.hits.upper + tile.n_hits * kLanes, upper);
  tile.hits.positions[tile.n_hits] = position;
  tile.hits.masks[tile.n_hits++] = uint16_t(lanes);
  const Lanes threshold = worst(tile.lower);
  if (!tile.warm) return threshold;
  const Lanes lower = subtract(upper, broadcast(2 * margin));
  const unsigned rising = bits(greater(lower, threshold)) & lanes;
  if (!rising) return threshold;
  insert_scores(tile.lower, only(rising, lower));
  return worst(tile.lower);
}

// Which rows of a run have a lane above the threshold, as bits; lanes[i]: which lanes of row i.  No branches: hits are
// too rare to predict and too frequent to ignore.
static inline unsigned find_rows(const Margins& margins, const Run& run, Lanes threshold, const float* scores,
                                 uint16_t* lanes) {
  unsigned rows = 0;
#pragma GCC unroll 16
  for (int i = 0; i < kRun; ++i) {
    const Lanes upper = add(load(scores + i * kLanes), broadcast(margins.offset[i]));
    lanes[i] = uint16_t(bits(greater(upper, threshold)) & run.masks[i]);
    rows |= unsigned(lanes[i] != 0) << i;
  }
  return rows & ((1u << run.count) - 1);
}

// scores [count][16] bf16 sums of one run.  Appends the keys that may be among the best.
static inline void screen_run(ScreenTile& tile, const Margins& margins, const Run& run, int32_t first_position,
                              const float* scores) {
  uint16_t lanes[kRun];
  Lanes threshold = worst(tile.lower);
  for (unsigned rows = find_rows(margins, run, threshold, scores, lanes); rows; rows &= rows - 1) {
    const int i = __builtin_ctz(rows);
    const Lanes upper = add(load(scores + i * kLanes), broadcast(margins.offset[i]));
    const unsigned still = bits(greater(upper, threshold)) & lanes[i];
    if (still) threshold = admit(tile, upper, still, first_position + i, margins.margin[i]);
  }
}
