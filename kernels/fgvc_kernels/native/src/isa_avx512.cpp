// AVX-512 F, BW, DQ, VL.
#include <immintrin.h>
#define FGVC_NAMESPACE avx512
#define FGVC_GROUP 12
#define FGVC_LANES "lanes_avx512.h"
#include "kernels.inl"
