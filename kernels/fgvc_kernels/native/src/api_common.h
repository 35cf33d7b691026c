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

// Starting a thread costs about as much as this many multiply-adds or copied values.
inline int worthwhile_threads(int32_t threads, int64_t work) {
  constexpr int64_t kWorkPerThread = 1 << 18;
  return int(threads < 1 + work / kWorkPerThread ? threads : 1 + work / kWorkPerThread);
}

}  // namespace fgvc
