// Sixteen float lanes in native vectors of kPart floats (GCC / Clang vector extension): AVX2, NEON, SSE2 and others.
// Included inside the namespace of an instruction set, after kPart is defined: no include guard.

typedef float FloatPart __attribute__((vector_size(kPart * 4)));
typedef int32_t IntPart __attribute__((vector_size(kPart * 4)));
typedef float LooseFloatPart __attribute__((vector_size(kPart * 4), aligned(4), may_alias));
typedef int32_t LooseIntPart __attribute__((vector_size(kPart * 4), aligned(4), may_alias));
constexpr int kParts = 16 / kPart;

struct Lanes {
  FloatPart part[kParts];
};
struct Ints {
  IntPart part[kParts];
};
using Mask = Ints;  // all bits of a lane set or none

#define FGVC_EACH_PART _Pragma("GCC unroll 8") for (int i = 0; i < kParts; ++i)

static inline Lanes load(const float* from) {
  Lanes value;
  FGVC_EACH_PART value.part[i] = *reinterpret_cast<const LooseFloatPart*>(from + i * kPart);
  return value;
}
static inline void store(float* to, const Lanes& value) {
  FGVC_EACH_PART *reinterpret_cast<LooseFloatPart*>(to + i * kPart) = value.part[i];
}
static inline Lanes broadcast(float value) {
  Lanes all;
  FGVC_EACH_PART all.part[i] = FloatPart{} + value;
  return all;
}
// Contracted to one fused operation where the instruction set has it (-ffp-contract=fast).
static inline Lanes multiply_add(const Lanes& a, const Lanes& b, Lanes sum) {
  FGVC_EACH_PART sum.part[i] = a.part[i] * b.part[i] + sum.part[i];
  return sum;
}
static inline Lanes add(const Lanes& a, Lanes b) {
  FGVC_EACH_PART b.part[i] = a.part[i] + b.part[i];
  return b;
}
static inline Lanes subtract(const Lanes& a, Lanes b) {
  FGVC_EACH_PART b.part[i] = a.part[i] - b.part[i];
  return b;
}
static inline Mask greater(const Lanes& a, const Lanes& b) {
  Mask mask;
  FGVC_EACH_PART mask.part[i] = a.part[i] > b.part[i];
  return mask;
}
static inline Lanes larger(const Lanes& a, Lanes b) {
  FGVC_EACH_PART b.part[i] = a.part[i] > b.part[i] ? a.part[i] : b.part[i];
  return b;
}
static inline Lanes smaller(const Lanes& a, Lanes b) {
  FGVC_EACH_PART b.part[i] = a.part[i] < b.part[i] ? a.part[i] : b.part[i];
  return b;
}
static inline Mask mask_of(unsigned bits) {
  Mask mask;
  for (int lane = 0; lane < 16; ++lane) mask.part[lane / kPart][lane % kPart] = -int32_t(bits >> lane & 1);
  return mask;
}
static inline Lanes select(const Mask& mask, const Lanes& yes, Lanes no) {
  FGVC_EACH_PART no.part[i] = mask.part[i] ? yes.part[i] : no.part[i];
  return no;
}
static inline Ints load_ints(const int32_t* from) {
  Ints value;
  FGVC_EACH_PART value.part[i] = *reinterpret_cast<const LooseIntPart*>(from + i * kPart);
  return value;
}
static inline void store_ints(int32_t* to, const Ints& value) {
  FGVC_EACH_PART *reinterpret_cast<LooseIntPart*>(to + i * kPart) = value.part[i];
}
static inline Ints broadcast_int(int32_t value) {
  Ints all;
  FGVC_EACH_PART all.part[i] = IntPart{} + value;
  return all;
}
static inline Ints select_ints(const Mask& mask, const Ints& yes, Ints no) {
  FGVC_EACH_PART no.part[i] = mask.part[i] ? yes.part[i] : no.part[i];
  return no;
}
static inline unsigned bits(const Mask& mask) {
#if defined(__AVX__)
  return unsigned(_mm256_movemask_ps((__m256)mask.part[0])) | unsigned(_mm256_movemask_ps((__m256)mask.part[1])) << 8;
#elif defined(__SSE2__)
  unsigned result = 0;
  FGVC_EACH_PART result |= unsigned(_mm_movemask_ps((__m128)mask.part[i])) << (4 * i);
  return result;
#elif defined(__aarch64__)
  const int32x4_t weights = {1, 2, 4, 8};
  unsigned result = 0;
  FGVC_EACH_PART result |= unsigned(vaddvq_s32(vandq_s32((int32x4_t)mask.part[i], weights))) << (4 * i);
  return result;
#else
  unsigned result = 0;
  for (int lane = 0; lane < 16; ++lane) result |= (unsigned(mask.part[lane / kPart][lane % kPart]) & 1u) << lane;
  return result;
#endif
}
#undef FGVC_EACH_PART

// Sixteen rows of sixteen 32-bit words -> out[word * stride + row].
static inline void transpose_block(const float* const* rows, float* out, int stride) {
  for (int row = 0; row < 16; ++row)
    for (int word = 0; word < 16; ++word) __builtin_memcpy(out + word * stride + row, rows[row] + word, 4);
}
