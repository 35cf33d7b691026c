// Weighted sum of the labels of the best keys.  Included inside an ISA namespace.

constexpr int kMapBlock = 64;

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

static inline void blend_block(const float* const* rows, const float* weights, int used, float* out) {
  float sums[kMapBlock];
  for (int p = 0; p < kMapBlock; ++p) sums[p] = 0;
  for (int j = 0; j < used; ++j)
    for (int p = 0; p < kMapBlock; ++p) sums[p] += weights[j] * rows[j][p];
  for (int p = 0; p < kMapBlock; ++p) out[p] = sums[p];
}

static inline void blend_tail(const float* const* rows, const float* weights, int used, int maps, float* out) {
  for (int p = 0; p < maps; ++p) {
    float sum = 0;
    for (int j = 0; j < used; ++j) sum += weights[j] * rows[j][p];
    out[p] = sum;
  }
}

static void propagate(const PropagateJob& job, Range range) {
  float weights[32];
  const float* rows[32];
  for (int64_t pixel = range.begin; pixel < range.end; ++pixel) {
    const int used = softmax_row(job.scores + pixel * job.topk, job.topk, job.temperature, weights);
    const int32_t* positions = job.positions + pixel * job.topk;
    for (int j = 0; j < used; ++j)
      rows[j] = job.labels[positions[j] / job.pixels] + positions[j] % job.pixels * job.maps;
    float* out = job.out + pixel * job.maps;
    int done = 0;
    for (; done + kMapBlock <= job.maps; done += kMapBlock) {
      blend_block(rows, weights, used, out + done);
      for (int j = 0; j < used; ++j) rows[j] += kMapBlock;
    }
    blend_tail(rows, weights, used, job.maps - done, out + done);
  }
}
