// fp32 scores: sixteen queries against a few keys, channels summed in order.  Included inside an ISA namespace.
//
// Every fp32 score that leaves the library is made here, by one chain of (fused) multiply-adds per query and key, so it
// does not depend on the tile, the thread, or whether the key came through the screen.

// queries [C][16] transposed; keys: kGroup pointers to [C]; out [kGroup][16].  The channel index counts up to zero so
// that it needs no register for its limit: twelve key pointers just fit x86-64.
static __attribute__((noinline)) void score_group(const float* queries, const float* const* keys, int channels, float* out) {
  Lanes sums[kGroup];
  const float* end[kGroup];
#pragma GCC unroll 32
  for (int i = 0; i < kGroup; ++i) {
    sums[i] = broadcast(0);
    end[i] = keys[i] + channels;
  }
  for (int64_t left = -int64_t(channels); left < 0; left += 2, queries += 2 * kLanes) {
#pragma GCC unroll 2
    for (int step = 0; step < 2; ++step) {
      const Lanes query = load(queries + step * kLanes);
#pragma GCC unroll 32
      for (int i = 0; i < kGroup; ++i) sums[i] = multiply_add(query, broadcast(end[i][left + step]), sums[i]);
    }
  }
#pragma GCC unroll 32
  for (int i = 0; i < kGroup; ++i) store(out + i * kLanes, sums[i]);
}

// Scores `count` keys (pixels of one frame or of several, as pointers) and offers them; masks and positions go along.
struct ExactBatch {
  const float* keys[kGroup];
  uint16_t masks[kGroup];
  int32_t positions[kGroup];
  int count;
};

static inline void settle_batch(ExactBatch& batch, const float* queries, int channels, const TopK& best) {
  if (!batch.count) return;
  alignas(64) float scores[kGroup * kLanes];
  for (int i = batch.count; i < kGroup; ++i) batch.keys[i] = batch.keys[0];
  score_group(queries, batch.keys, channels, scores);
  for (int i = 0; i < batch.count; ++i) offer(best, scores + i * kLanes, batch.masks[i], batch.positions[i]);
  batch.count = 0;
}

static inline void add_to_batch(ExactBatch& batch, const float* key, unsigned mask, int32_t position,
                                const float* queries, int channels, const TopK& best) {
  batch.keys[batch.count] = key;
  batch.masks[batch.count] = uint16_t(mask);
  batch.positions[batch.count] = position;
  if (++batch.count == kGroup) settle_batch(batch, queries, channels, best);
}
