// AVX-512 with BF16.
#include <immintrin.h>
#define FGVC_NAMESPACE avx512bf16
#define FGVC_GROUP 10
#define FGVC_TILES 2
#define FGVC_LANES "lanes_avx512.h"
#define FGVC_ENGINE "low_avx512bf16.inl"
#include "kernels.inl"
