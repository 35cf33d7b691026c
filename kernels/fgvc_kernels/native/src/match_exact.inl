// fp32 throughout: every key of the window is scored exactly.  Included inside an ISA namespace.

struct ExactSpace {
  Place* places;
  Run* runs;
  float* queries;      // [tiles][C][16]
  float* scores;       // [tiles][k][16]
  int32_t* positions;  // [tiles][k][16]
};

static inline ExactSpace carve_exact(const MatchJob& job, Carver& carver) {
  const int64_t tiles = int64_t(job.group_w) * job.group_h;
  ExactSpace space;
  space.places = carver.take<Place>(tiles);
  space.runs = carver.take<Run>(job.max_runs);
  space.queries = carver.take<float>(tiles * job.channels * kLanes);
  space.scores = carver.take<float>(tiles * job.topk * kLanes);
  space.positions = carver.take<int32_t>(tiles * job.topk * kLanes);
  return space;
}

static int64_t exact_workspace(const MatchJob& job) {
  Carver carver = {nullptr, 0};
  carve_exact(job, carver);
  return carver.used;
}

static inline TopK best_of(const MatchJob& job, float* scores, int32_t* positions, int tile) {
  const int64_t offset = int64_t(tile) * job.topk * kLanes;
  return {scores + offset, positions + offset, job.topk};
}

static void scan_exact(const MatchJob& job, const float* queries, unsigned live, const TopK& best, int slot,
                       const Run* runs, int n_runs) {
  const float* keys = job.keys[slot];
  const int32_t first = int32_t(int64_t(slot) * job.height * job.width);
  ExactBatch batch;
  batch.count = 0;
  for (int r = 0; r < n_runs; ++r)
    for (int i = 0; i < runs[r].count; ++i) {
      const int32_t pixel = runs[r].key + i;
      add_to_batch(batch, keys + int64_t(pixel) * job.channels, runs[r].masks[i] & live, first + pixel, queries,
                   job.channels, best);
    }
  settle_batch(batch, queries, job.channels, best);
}

static void match_exact(const MatchJob& job, int group, void* workspace, int64_t* stats) {
  Carver carver = {static_cast<char*>(workspace), 0};
  const ExactSpace space = carve_exact(job, carver);
  const int count = place_group(job, group, space.places);
  const int64_t stride = int64_t(job.channels) * kLanes;
  for (int i = 0; i < count; ++i) {
    transpose_queries(job, space.places[i], space.queries + i * stride);
    clear(best_of(job, space.scores, space.positions, i), space.places[i].live);
  }
  for (int slot = job.n_keys - 1; slot >= 0; --slot)
    for (int i = 0; i < count; ++i) {
      const Place& place = space.places[i];
      const int n_runs = plan_runs(job, place.x0, place.y0, space.runs);
      for (int r = 0; r < n_runs; ++r) stats[FGVC_STAT_PAIRS] += int64_t(space.runs[r].count) * kLanes;
      scan_exact(job, space.queries + i * stride, place.live, best_of(job, space.scores, space.positions, i), slot,
                 space.runs, n_runs);
    }
  for (int i = 0; i < count; ++i) write_tile(job, space.places[i], best_of(job, space.scores, space.positions, i));
}
