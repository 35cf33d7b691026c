// Which instruction sets were compiled in, and which of them this CPU and this process may use.
#pragma once
#include "job.h"

namespace fgvc {

struct Isa {
  const char* name;
  const Kernels* kernels;
  const char* (*missing)();  // null when usable, else what is missing
  bool (*screening_pays)();  // the bf16 engine beats fp32 here
};

int isa_count();
const Isa& isa_at(int index);  // fastest first

}  // namespace fgvc
