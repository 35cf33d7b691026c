// Run-time detection.  The table is ordered: the first usable entry is the default.  FGVC_WITHOUT_*: sets that the
// compiler is too old for (build.py); g++ 7 has all but AMX and AVX-512 BF16.
#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace fgvc {

#if defined(__x86_64__)

namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
namespace avx512bf16 { extern const Kernels kernels; }
namespace amx { extern const Kernels kernels; }

namespace {

struct Features {
  bool avx2, avx512, avx512bf16, amx, intel;
};

uint64_t enabled_state() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

// AMX tile data is switched on per process, on request (Linux 5.16).
bool request_tile_data() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Features detect() {
  Features found = {};
  uint32_t a, b, c, d;
  if (!__get_cpuid(0, &a, &b, &c, &d) || a < 7) return found;
  found.intel = b == 0x756e6547;  // "Genu"
  __cpuid(1, a, b, c, d);
  const bool saves_state = c >> 27 & 1, fma = c >> 12 & 1;
  if (!saves_state) return found;
  const uint64_t state = enabled_state();
  __cpuid_count(7, 0, a, b, c, d);
  const uint32_t subleaves = a;
  found.avx2 = fma && (b >> 5 & 1) && (state & 0x6) == 0x6;
  const uint32_t wanted = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  found.avx512 = found.avx2 && (b & wanted) == wanted && (state & 0xe6) == 0xe6;
  const bool amx = (d >> 22 & 1) && (d >> 24 & 1) && (state & 0x60000) == 0x60000;
  if (subleaves >= 1) {
    __cpuid_count(7, 1, a, b, c, d);
    found.avx512bf16 = found.avx512 && (a >> 5 & 1);
  }
  found.amx = amx && found.avx512 && request_tile_data();
  return found;
}

const Features& features() {
  static const Features found = detect();
  return found;
}

[[maybe_unused]] const char* amx_missing() {
  return features().amx ? nullptr : "AMX bf16 tiles, or the kernel's permission to use them";
}
[[maybe_unused]] const char* avx512bf16_missing() { return features().avx512bf16 ? nullptr : "AVX-512 BF16"; }
const char* avx512_missing() { return features().avx512 ? nullptr : "AVX-512 F, BW, DQ and VL"; }
const char* avx2_missing() { return features().avx2 ? nullptr : "AVX2 and FMA"; }

// Intel runs the AVX-512 form of the bf16 product at half the fp32 rate (measured: 107 against 212 GFLOP/s a core).
[[maybe_unused]] bool vector_bf16_pays() { return !features().intel; }

}  // namespace
#elif defined(__aarch64__)
namespace neon { extern const Kernels kernels; }
#endif
namespace portable { extern const Kernels kernels; }

namespace {

const char* nothing_missing() { return nullptr; }
bool never() { return false; }
#if defined(__x86_64__)
[[maybe_unused]] bool always() { return true; }
#endif

const Isa kTable[] = {
#if defined(__x86_64__)
#ifndef FGVC_WITHOUT_AMX
    {"amx", &amx::kernels, amx_missing, always},
#endif
#ifndef FGVC_WITHOUT_AVX512BF16
    {"avx512bf16", &avx512bf16::kernels, avx512bf16_missing, vector_bf16_pays},
#endif
    {"avx512", &avx512::kernels, avx512_missing, never},
    {"avx2", &avx2::kernels, avx2_missing, never},
#elif defined(__aarch64__)
    {"neon", &neon::kernels, nothing_missing, never},
#endif
    {"portable", &portable::kernels, nothing_missing, never},
};

}  // namespace

int isa_count() { return int(sizeof(kTable) / sizeof(kTable[0])); }
const Isa& isa_at(int index) { return kTable[index]; }

}  // namespace fgvc
