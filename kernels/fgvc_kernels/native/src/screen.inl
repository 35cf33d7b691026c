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
  uint16_t* packed;  // [padded C / 2][16][2] bf16
  Hits hits;
  TopK lower;  // best lower bounds
  TopK best;   // exact scores of the keys settled so far
};

// [padded C / 2][16][2]: pairs of channels side by side, as every bf16 dot product wants its second operand.
static void pack_queries(const MatchJob& job, const Place& place, uint16_t* packed) {
  static const uint32_t kNothing[1] = {0};
  uint32_t* pairs = reinterpret_cast<uint32_t*>(packed);
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool live = place.live >> lane & 1;
    const uint16_t* row =
        live ? job.query_half->rows + lane_pixel(job, place, lane) * job.padded_channels : nullptr;
    for (int pair = 0; pair < job.padded_channels / 2; ++pair)
      __builtin_memcpy(pairs + pair * kLanes + lane, live ? row + 2 * pair : (const uint16_t*)kNothing, 4);
  }
}

static void start_tile(const MatchJob& job, const Place& place, ScreenTile& tile) {
  tile.place = place;
  tile.n_hits = 0;
  tile.query_norm = tile.query_error = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!(place.live >> lane & 1)) continue;
    const int64_t pixel = lane_pixel(job, place, lane);
    const float error = job.query_half->error[pixel], norm = job.query_half->norm[pixel] + error;
    if (job.query_half->bias[pixel] == -__builtin_inff()) tile.place.live &= ~(1u << lane);
    if (norm > tile.query_norm) tile.query_norm = norm;
    if (error > tile.query_error) tile.query_error = error;
  }
  tile.slack = float((job.channels + 2) * 0x1p-23 * 1.01 + 0x1p-18);
  pack_queries(job, tile.place, tile.packed);
  clear(tile.lower, tile.place.live);
  clear(tile.best, tile.place.live);
}

// Exact scores for every hit that can still matter; the list is empty afterwards.  queries: [C][16] scratch.
static void settle_hits(const MatchJob& job, ScreenTile& tile, float* queries, int64_t* stats) {
  const Lanes threshold = worst(tile.lower);
  const int32_t pixels = job.height * job.width;
  transpose_queries(job, tile.place, queries);
  ExactBatch batch;
  batch.count = 0;
  for (int i = 0; i < tile.n_hits; ++i) {
    const unsigned lanes = bits(greater(load(tile.hits.upper + i * kLanes), threshold)) & tile.hits.masks[i];
    if (!lanes) continue;
    stats[FGVC_STAT_RESCORED] += __builtin_popcount(lanes);
    const int32_t position = tile.hits.positions[i];
    const float* key = job.keys[position / pixels] + int64_t(position % pixels) * job.channels;
    add_to_batch(batch, key, lanes, position, queries, job.channels, tile.best);
  }
  settle_batch(batch, queries, job.channels, tile.best);
  tile.n_hits = 0;
}

static void drop_stale_hits(ScreenTile& tile) {
  const Lanes threshold = worst(tile.lower);
  int kept = 0;
  for (int i = 0; i < tile.n_hits; ++i) {
    const Lanes upper = load(tile.hits.upper + i * kLanes);
    if (!(bits(greater(upper, threshold)) & tile.hits.masks[i])) continue;
    store(tile.hits.upper + kept * kLanes, upper);
    tile.hits.positions[kept] = tile.hits.positions[i];
    tile.hits.masks[kept++] = tile.hits.masks[i];
  }
  tile.n_hits = kept;
}

// Room for one more block: first by forgetting, then by settling.  Nothing is ever lost.
static inline void make_room(const MatchJob& job, ScreenTile& tile, float* queries, int64_t* stats) {
  if (__builtin_expect(tile.n_hits <= kHits - 4 * kRun, 1)) return;
  drop_stale_hits(tile);
  if (tile.n_hits <= kHits / 2) return;
  ++stats[FGVC_STAT_FLUSHES];
  settle_hits(job, tile, queries, stats);
}

// scores [count][16] bf16 sums of one run; `half` is the key frame's.  Appends the keys that may be among the best.
static inline void screen_run(ScreenTile& tile, const fgvc_half& half, const Run& run, int32_t first_position,
                              const float* scores, int64_t* stats) {
  alignas(64) float margin[kRun], offset[kRun];
  for (int i = 0; i < kRun; ++i) {
    margin[i] = tile.query_norm * half.error[run.key + i] + tile.query_error * half.norm[run.key + i] + tile.slack;
    offset[i] = half.bias[run.key + i] + margin[i];
  }
  Lanes threshold = worst(tile.lower);
  for (int i = 0; i < run.count; ++i) {
    const Lanes upper = add(load(scores + i * kLanes), broadcast(offset[i]));
    const unsigned lanes = bits(greater(upper, threshold)) & run.masks[i];
    if (__builtin_expect(lanes == 0, 1)) continue;
    store(tile.hits.upper + tile.n_hits * kLanes, upper);
    tile.hits.positions[tile.n_hits] = first_position + i;
    tile.hits.masks[tile.n_hits++] = uint16_t(lanes);
    ++stats[FGVC_STAT_HITS];
    const Lanes lower = subtract(upper, broadcast(2 * margin[i]));
    const unsigned rising = bits(greater(lower, threshold)) & lanes;
    if (!rising) continue;
    insert_scores(tile.lower, only(rising, lower));
    threshold = worst(tile.lower);
  }
}
