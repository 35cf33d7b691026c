// 64-bit ARM: NEON is part of the baseline.
#include <arm_neon.h>
#define FGVC_NAMESPACE neon
#define FGVC_GROUP 5
#define FGVC_TILES 1
#define FGVC_LANES "lanes_generic.h"
namespace fgvc::neon {
constexpr int kPart = 4;
}
#include "kernels.inl"
