// Weighted sum of the labels of the best keys.  Included inside an ISA namespace.

// weights[0..k) = softmax(scores / temperature); returns how many are not zero.  Scores fall, -inf ends the list.
static inline int softmax_row(const float* scores, int topk, float temperature, float* weights) {
  float sum = 0;
  int used = 0;
  for (; used < topk && scores[used] > -__builtin_inff(); ++used) {
    weights[used] = expf((scores[used] - scores[0]) / temperature);
    sum += weights[used];
  }
  for (int j = 0; j < used; ++j) weights[j] /= sum;
  return used;
}

// out[0 .. 16 kWide) = sum of weighted rows.
template <int kWide>
static inline void blend(const float* const* rows, const float* weights, int used, float* out) {
  Lanes sums[kWide];
#pragma GCC unroll 4
  for (int i = 0; i < kWide; ++i) sums[i] = broadcast(0);
  for (int j = 0; j < used; ++j) {
    const Lanes weight = broadcast(weights[j]);
#pragma GCC unroll 4
    for (int i = 0; i < kWide; ++i) sums[i] = multiply_add(weight, load(rows[j] + i * kLanes), sums[i]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < kWide; ++i) store(out + i * kLanes, sums[i]);
}

static inline void blend_few(const float* const* rows, const float* weights, int used, int maps, float* out) {
  for (int p = 0; p < maps; ++p) {
    float sum = 0;
    for (int j = 0; j < used; ++j) sum += weights[j] * rows[j][p];
    out[p] = sum;
  }
}

static inline void advance(const float** rows, int used, int maps) {
  for (int j = 0; j < used; ++j) rows[j] += maps;
}

static inline const float* label_row(const PropagateJob& job, int32_t position) {
  const int32_t pixels = int32_t(job.pixels);
  return job.labels[position / pixels] + int64_t(position % pixels) * job.maps;
}

// The rows of a later pixel: scattered over the maps, so the hardware does not see them coming.
static inline void fetch_rows(const PropagateJob& job, int64_t pixel) {
  const int32_t* positions = job.positions + pixel * job.topk;
  for (int j = 0; j < job.topk; ++j) {
    const float* row = label_row(job, positions[j]);
    for (int p = 0; p < job.maps; p += 16) __builtin_prefetch(row + p);
  }
}

static void propagate(const PropagateJob& job, Range range) {
  float weights[32];
  const float* rows[32];
  for (int64_t pixel = range.begin; pixel < range.end; ++pixel) {
    if (pixel + 1 < range.end) fetch_rows(job, pixel + 1);
    const int used = softmax_row(job.scores + pixel * job.topk, job.topk, job.temperature, weights);
    for (int j = 0; j < used; ++j) rows[j] = label_row(job, job.positions[pixel * job.topk + j]);
    float* out = job.out + pixel * job.maps;
    int left = job.maps;
    for (; left >= 4 * kLanes; left -= 4 * kLanes, out += 4 * kLanes, advance(rows, used, 4 * kLanes))
      blend<4>(rows, weights, used, out);
    for (; left >= kLanes; left -= kLanes, out += kLanes, advance(rows, used, kLanes))
      blend<1>(rows, weights, used, out);
    blend_few(rows, weights, used, left, out);
  }
}
