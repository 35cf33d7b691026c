// bf16 engine on AVX-512 BF16 (Zen 4 and later).  Included inside an ISA namespace.

static inline void engine_begin() {}
static inline void engine_end() {}

constexpr int kHalfRun = 8;  // key pointers that fit the general registers, and chains enough to hide the latency

static inline void score_keys(const uint16_t* query, const uint16_t* keys, int channels, float* out) {
  __m512 sums[kHalfRun];
  const uint16_t* key[kHalfRun];
#pragma GCC unroll 16
  for (int i = 0; i < kHalfRun; ++i) {
    sums[i] = _mm512_setzero_ps();
    key[i] = keys + int64_t(i) * channels;
  }
  for (int channel = 0; channel < channels; channel += 2) {
    const __m512bh pairs = (__m512bh)_mm512_loadu_si512(query + channel * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kHalfRun; ++i) {
      int32_t pair;
      __builtin_memcpy(&pair, key[i] + channel, 4);
      sums[i] = _mm512_dpbf16_ps(sums[i], pairs, (__m512bh)_mm512_set1_epi32(pair));
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kHalfRun; ++i) _mm512_storeu_ps(out + i * kLanes, sums[i]);
}

static inline void begin_block(const BlockInput&) {}

static inline void end_block(const BlockInput& in, float* out) {
  for (int part = 0; part < 4 * kRun / kHalfRun; ++part) {
    const uint16_t* first = in.keys[part * kHalfRun / kRun] + int64_t(part * kHalfRun % kRun) * in.channels;
    score_keys(in.queries, first, in.channels, out + part * kHalfRun * kLanes);
  }
}
