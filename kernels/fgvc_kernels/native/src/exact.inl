// fp32 scores: one tile of queries, or two neighbours, against a list of keys.  Included inside an ISA namespace.
//
// Every fp32 score that leaves the library is made here, by one chain of (fused) multiply-adds over the channels per
// query and key, so it does not depend on the tile, the thread, or whether the key came through the screen.

constexpr int kQueryStride = kMostTiles * kLanes;

// queries [C][kMostTiles][16], the first kTiles used; keys, next: kGroup pointers to [C]; out [kTiles][kGroup][16].
// `next` is only fetched: the group after this one, whose rows the hardware would not guess.  The channel index counts
// up to zero so that it needs no register for its limit: ten key pointers fit x86-64, twelve already spill.
template <int kTiles>
static __attribute__((noinline)) void score_group(const float* queries, const float* const* keys,
                                                  const float* const* next, int channels, float* out) {
  Lanes sums[kTiles][kGroup];
  const float* end[kGroup];
#pragma GCC unroll 32
  for (int i = 0; i < kGroup; ++i) {
#pragma GCC unroll 2
    for (int tile = 0; tile < kTiles; ++tile) sums[tile][i] = broadcast(0);
    end[i] = keys[i] + channels;
  }
  for (int64_t left = -int64_t(channels); left < 0;) {
    if ((left & 8) == 0)
      for (int i = 0; i < kGroup; ++i) __builtin_prefetch(next[i] + channels + left);
    for (const int64_t stop = left + 8; left < stop; ++left, queries += kQueryStride) {
#pragma GCC unroll 32
      for (int i = 0; i < kGroup; ++i)
#pragma GCC unroll 2
        for (int tile = 0; tile < kTiles; ++tile)
          sums[tile][i] = multiply_add(load(queries + tile * kLanes), broadcast(end[i][left]), sums[tile][i]);
    }
  }
#pragma GCC unroll 2
  for (int tile = 0; tile < kTiles; ++tile)
#pragma GCC unroll 32
    for (int i = 0; i < kGroup; ++i) store(out + (tile * kGroup + i) * kLanes, sums[tile][i]);
}

// Scores every key of a list and offers it.  Source: count, key(i), position(i), mask(tile, i).
template <int kTiles, class Source>
static inline void score_list(const Source& source, const float* queries, int channels, const TopK* best) {
  const int count = source.count;
  if (!count) return;
  const float *keys[kGroup], *next[kGroup];
  alignas(64) float scores[kTiles * kGroup * kLanes];
  for (int i = 0; i < kGroup; ++i) next[i] = source.key(i < count ? i : 0);
  for (int start = 0; start < count; start += kGroup) {
    const int size = count - start < kGroup ? count - start : kGroup;
    for (int i = 0; i < kGroup; ++i) {
      const int ahead = start + kGroup + i;
      keys[i] = next[i];
      next[i] = source.key(ahead < count ? ahead : count - 1);
    }
    score_group<kTiles>(queries, keys, next, channels, scores);
    for (int tile = 0; tile < kTiles; ++tile)
      for (int i = 0; i < size; ++i)
        offer(best[tile], scores + (tile * kGroup + i) * kLanes, source.mask(tile, start + i),
              source.position(start + i));
  }
}
