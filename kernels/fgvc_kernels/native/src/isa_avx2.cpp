// AVX2 and FMA.
#include <immintrin.h>
#define FGVC_NAMESPACE avx2
#define FGVC_GROUP 6
#define FGVC_TILES 1
#define FGVC_LANES "lanes_generic.h"
namespace fgvc::avx2 {
constexpr int kPart = 8;
}
#include "kernels.inl"
