// AVX-512 with AMX bf16 tiles.
#include <immintrin.h>
#define FGVC_NAMESPACE amx
#define FGVC_GROUP 10
#define FGVC_TILES 2
#define FGVC_LANES "lanes_avx512.h"
#define FGVC_ENGINE "low_amx.inl"
#include "kernels.inl"
