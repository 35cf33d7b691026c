// Checks that every exported function makes.  Baseline code only.
#pragma once
#include "cpu.h"

namespace fgvc {

inline constexpr int kMaxThreads = 256;

inline const Kernels* usable_kernels(int32_t isa) {
  if (isa < 0 || isa >= isa_count() || isa_at(isa).missing()) return nullptr;
  return isa_at(isa).kernels;
}

inline bool bad_threads(int32_t threads) { return threads < 1 || threads > kMaxThreads; }

}  // namespace fgvc
