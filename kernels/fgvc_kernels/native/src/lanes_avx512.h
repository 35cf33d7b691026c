// Sixteen float lanes in one AVX-512 register.  Included inside the namespace of an instruction set: no include guard.

using Lanes = __m512;
using Ints = __m512i;
using Mask = __mmask16;

static inline Lanes load(const float* from) { return _mm512_loadu_ps(from); }
static inline void store(float* to, Lanes value) { _mm512_storeu_ps(to, value); }
static inline Lanes broadcast(float value) { return _mm512_set1_ps(value); }
static inline Lanes multiply_add(Lanes a, Lanes b, Lanes sum) { return _mm512_fmadd_ps(a, b, sum); }
static inline Lanes add(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
static inline Lanes subtract(Lanes a, Lanes b) { return _mm512_sub_ps(a, b); }
static inline Lanes larger(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
static inline Lanes smaller(Lanes a, Lanes b) { return _mm512_min_ps(a, b); }
static inline Mask greater(Lanes a, Lanes b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
static inline unsigned bits(Mask mask) { return mask; }
static inline Mask mask_of(unsigned bits) { return Mask(bits); }
static inline Lanes select(Mask mask, Lanes yes, Lanes no) { return _mm512_mask_blend_ps(mask, no, yes); }
static inline Ints load_ints(const int32_t* from) { return _mm512_loadu_si512(from); }
static inline void store_ints(int32_t* to, Ints value) { _mm512_storeu_si512(to, value); }
static inline Ints broadcast_int(int32_t value) { return _mm512_set1_epi32(value); }
static inline Ints select_ints(Mask mask, Ints yes, Ints no) { return _mm512_mask_blend_epi32(mask, no, yes); }
