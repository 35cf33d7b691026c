// AVX-512 with AMX bf16 tiles.
#include <immintrin.h>
#define FGVC_NAMESPACE amx
#define FGVC_GROUP 12
#define FGVC_LANES "lanes_avx512.h"
#define FGVC_ENGINE "low_amx.inl"
#ifndef FGVC_LAG
#define FGVC_LAG 1
#endif
#include "kernels.inl"
