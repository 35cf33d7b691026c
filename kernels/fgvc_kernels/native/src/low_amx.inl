// bf16 engine on AMX tiles: 16 keys x 32 channels times 32 channels x 16 queries per instruction.  Included inside an
// ISA namespace.  The compiler's own intrinsics do not tell it that tile loads and stores touch memory, hence the asm.

struct alignas(64) TileConfig {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};

static inline void engine_begin() {
  TileConfig config = {};
  config.palette = 1;
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = 64;
    config.rows[tile] = 16;
  }
  asm volatile("ldtilecfg %0" ::"m"(config));
}
static inline void engine_end() { asm volatile("tilerelease" ::: "memory"); }

#define FGVC_TILE_LOAD(tile, base, stride) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"(base), "r"(int64_t(stride)) : "memory")
#define FGVC_TILE_STORE(tile, base, stride) \
  asm volatile("tilestored %%tmm" #tile ", (%0,%1,1)" ::"r"(base), "r"(int64_t(stride)) : "memory")
#define FGVC_TILE_ZERO(tile) asm volatile("tilezero %%tmm" #tile ::)
#define FGVC_TILE_DOT(sum, keys, queries) asm volatile("tdpbf16ps %%tmm" #queries ", %%tmm" #keys ", %%tmm" #sum ::)

// Up to 96 channels: the queries stay in tiles and the runs go by one at a time.
template <int kSteps>
static inline void multiply_narrow(const BlockInput& in) {
  constexpr int64_t kStride = kSteps * 64;
  FGVC_TILE_LOAD(4, in.queries, 64);
  if (kSteps > 1) FGVC_TILE_LOAD(5, in.queries + 32 * kLanes, 64);
  if (kSteps > 2) FGVC_TILE_LOAD(6, in.queries + 64 * kLanes, 64);
#define FGVC_RUN(sum)                                  \
  FGVC_TILE_ZERO(sum);                                 \
  FGVC_TILE_LOAD(7, in.keys[sum], kStride);            \
  FGVC_TILE_DOT(sum, 7, 4);                            \
  if (kSteps > 1) {                                    \
    FGVC_TILE_LOAD(7, in.keys[sum] + 32, kStride);     \
    FGVC_TILE_DOT(sum, 7, 5);                          \
  }                                                    \
  if (kSteps > 2) {                                    \
    FGVC_TILE_LOAD(7, in.keys[sum] + 64, kStride);     \
    FGVC_TILE_DOT(sum, 7, 6);                          \
  }
  FGVC_RUN(0)
  FGVC_RUN(1)
  FGVC_RUN(2)
  FGVC_RUN(3)
#undef FGVC_RUN
}

static inline void multiply_wide(const BlockInput& in) {
  const int64_t stride = int64_t(in.channels) * 2;
  FGVC_TILE_ZERO(0);
  FGVC_TILE_ZERO(1);
  FGVC_TILE_ZERO(2);
  FGVC_TILE_ZERO(3);
  for (int channel = 0; channel < in.channels; channel += 32) {
    FGVC_TILE_LOAD(6, in.queries + channel * kLanes, 64);
    FGVC_TILE_LOAD(4, in.keys[0] + channel, stride);
    FGVC_TILE_DOT(0, 4, 6);
    FGVC_TILE_LOAD(5, in.keys[1] + channel, stride);
    FGVC_TILE_DOT(1, 5, 6);
    FGVC_TILE_LOAD(4, in.keys[2] + channel, stride);
    FGVC_TILE_DOT(2, 4, 6);
    FGVC_TILE_LOAD(5, in.keys[3] + channel, stride);
    FGVC_TILE_DOT(3, 5, 6);
  }
}

static inline void begin_block(const BlockInput& in) {
  switch (in.channels / 32) {
    case 1: return multiply_narrow<1>(in);
    case 2: return multiply_narrow<2>(in);
    case 3: return multiply_narrow<3>(in);
    default: return multiply_wide(in);
  }
}

static inline void end_block(const BlockInput&, float* out) {
  FGVC_TILE_STORE(0, out, 64);
  FGVC_TILE_STORE(1, out + kRun * kLanes, 64);
  FGVC_TILE_STORE(2, out + 2 * kRun * kLanes, 64);
  FGVC_TILE_STORE(3, out + 3 * kRun * kLanes, 64);
}

#undef FGVC_TILE_LOAD
#undef FGVC_TILE_STORE
#undef FGVC_TILE_ZERO
#undef FGVC_TILE_DOT
