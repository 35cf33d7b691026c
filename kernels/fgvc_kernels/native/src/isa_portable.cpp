// Any CPU: whatever the compiler's baseline offers.  The bf16 engine is emulated, for tests.
#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif
#define FGVC_NAMESPACE portable
#define FGVC_GROUP 2
#define FGVC_TILES 1
#define FGVC_LANES "lanes_generic.h"
#define FGVC_ENGINE "low_portable.inl"
namespace fgvc::portable {
constexpr int kPart = 4;
}
#include "kernels.inl"
