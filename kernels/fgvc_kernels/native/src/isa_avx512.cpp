// AVX-512 F, BW, DQ, VL.
#include <immintrin.h>
#define FGVC_NAMESPACE avx512
#define FGVC_GROUP 10
#define FGVC_TILES 2
#define FGVC_LANES "lanes_avx512.h"
#include "kernels.inl"
