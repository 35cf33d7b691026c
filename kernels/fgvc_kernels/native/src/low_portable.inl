// bf16 engine in plain C++: slow, for tests and for machines that force it.  Included inside an ISA namespace.

static inline void engine_begin() {}
static inline void engine_end() {}

static inline float half_value(const uint16_t* at) {
  const uint32_t word = uint32_t(*at) << 16;
  float value;
  __builtin_memcpy(&value, &word, 4);
  return value;
}

static inline void begin_block(const BlockInput&) {}

static inline void end_block(const BlockInput& in, float* out) {
  for (int key = 0; key < 4 * kRun; ++key) {
    const uint16_t* row = in.keys[key / kRun] + int64_t(key % kRun) * in.channels;
    float sums[kLanes] = {};
    for (int channel = 0; channel < in.channels; ++channel) {
      const float value = half_value(row + channel);
      const uint16_t* const at = in.queries + channel / 2 * (2 * kLanes) + channel % 2;
      for (int lane = 0; lane < kLanes; ++lane) sums[lane] += half_value(at + 2 * lane) * value;
    }
    for (int lane = 0; lane < kLanes; ++lane) out[key * kLanes + lane] = sums[lane];
  }
}
