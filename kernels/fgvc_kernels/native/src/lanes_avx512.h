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

// Sixteen rows of sixteen 32-bit words -> out[word * stride + row].
static inline void transpose_block(const float* const* rows, float* out, int stride) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    const __m512 even = _mm512_loadu_ps(rows[i]), odd = _mm512_loadu_ps(rows[i + 1]);
    a[i] = _mm512_unpacklo_ps(even, odd);
    a[i + 1] = _mm512_unpackhi_ps(even, odd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      const __m512d low = _mm512_castps_pd(a[i + j]), high = _mm512_castps_pd(a[i + 2 + j]);
      b[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      b[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  // b[4 g + j] now holds, in its 128-bit part p, word 4 p + j of rows 4 g to 4 g + 3.
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512 even_low = _mm512_shuffle_f32x4(b[j], b[4 + j], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(b[j], b[4 + j], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0xdd);
    _mm512_storeu_ps(out + j * stride, _mm512_shuffle_f32x4(even_low, even_high, 0x88));
    _mm512_storeu_ps(out + (4 + j) * stride, _mm512_shuffle_f32x4(odd_low, odd_high, 0x88));
    _mm512_storeu_ps(out + (8 + j) * stride, _mm512_shuffle_f32x4(even_low, even_high, 0xdd));
    _mm512_storeu_ps(out + (12 + j) * stride, _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd));
  }
}
