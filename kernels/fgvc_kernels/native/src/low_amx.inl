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

// Up to 128 channels: the queries stay in tiles 4 to 7 and runs go by one at a time, so that storing one run overlaps
// with multiplying the next.
template <int kSteps>
static inline void score_narrow(const uint16_t* queries, const uint16_t* const* keys, float* out) {
  constexpr int64_t kStride = kSteps * 64;
  FGVC_TILE_LOAD(4, queries, 64);
  if (kSteps > 1) FGVC_TILE_LOAD(5, queries + 1 * 32 * kLanes, 64);
  if (kSteps > 2) FGVC_TILE_LOAD(6, queries + 2 * 32 * kLanes, 64);
  if (kSteps > 3) FGVC_TILE_LOAD(7, queries + 3 * 32 * kLanes, 64);
  for (int run = 0; run < 4; ++run) {
    const uint16_t* key = keys[run];
    FGVC_TILE_ZERO(0);
    FGVC_TILE_LOAD(1, key, kStride);
    FGVC_TILE_DOT(0, 1, 4);
    if (kSteps > 1) {
      FGVC_TILE_LOAD(2, key + 32, kStride);
      FGVC_TILE_DOT(0, 2, 5);
    }
    if (kSteps > 2) {
      FGVC_TILE_LOAD(3, key + 64, kStride);
      FGVC_TILE_DOT(0, 3, 6);
    }
    if (kSteps > 3) {
      FGVC_TILE_LOAD(1, key + 96, kStride);
      FGVC_TILE_DOT(0, 1, 7);
    }
    FGVC_TILE_STORE(0, out + run * kRun * kLanes, 64);
  }
}

static inline void score_wide(const uint16_t* queries, const uint16_t* const* keys, int channels, float* out) {
  const uint16_t *key0 = keys[0], *key1 = keys[1], *key2 = keys[2], *key3 = keys[3];
  const int64_t stride = int64_t(channels) * 2;
  FGVC_TILE_ZERO(0);
  FGVC_TILE_ZERO(1);
  FGVC_TILE_ZERO(2);
  FGVC_TILE_ZERO(3);
  for (int channel = 0; channel < channels; channel += 32) {
    FGVC_TILE_LOAD(6, queries + channel * kLanes, 64);
    FGVC_TILE_LOAD(4, key0 + channel, stride);
    FGVC_TILE_DOT(0, 4, 6);
    FGVC_TILE_LOAD(5, key1 + channel, stride);
    FGVC_TILE_DOT(1, 5, 6);
    FGVC_TILE_LOAD(4, key2 + channel, stride);
    FGVC_TILE_DOT(2, 4, 6);
    FGVC_TILE_LOAD(5, key3 + channel, stride);
    FGVC_TILE_DOT(3, 5, 6);
  }
  FGVC_TILE_STORE(0, out, 64);
  FGVC_TILE_STORE(1, out + kRun * kLanes, 64);
  FGVC_TILE_STORE(2, out + 2 * kRun * kLanes, 64);
  FGVC_TILE_STORE(3, out + 3 * kRun * kLanes, 64);
}

// queries [C / 2][16][2]; keys: four runs of 16 rows, `channels` apart; out [4][kRun][16]
static inline void score_block(const uint16_t* queries, const uint16_t* const* keys, int channels, float* out) {
  switch (channels / 32) {
    case 1: return score_narrow<1>(queries, keys, out);
    case 2: return score_narrow<2>(queries, keys, out);
    case 3: return score_narrow<3>(queries, keys, out);
    case 4: return score_narrow<4>(queries, keys, out);
    default: return score_wide(queries, keys, channels, out);
  }
}

#undef FGVC_TILE_LOAD
#undef FGVC_TILE_STORE
#undef FGVC_TILE_ZERO
#undef FGVC_TILE_DOT
