// fgvc_match: check, choose the tile and group shapes, share the groups among threads.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "api_common.h"
#include "threads.h"
#include "window.h"

using namespace fgvc;

namespace {

int32_t check_match(const fgvc_match_args& args) {
  if (bad_threads(args.threads) || args.height < 1 || args.width < 1 || args.n_keys < 1) return FGVC_E_ARGUMENT;
  if (args.height > 32000 || args.width > 32000 || args.channels < 8 || args.channels % 8) return FGVC_E_ARGUMENT;
  if (args.topk < 1 || args.topk > 32 || !(args.radius > 0) || !std::isfinite(args.radius)) return FGVC_E_ARGUMENT;
  if (args.window != FGVC_CIRCLE && args.window != FGVC_SQUARE) return FGVC_E_ARGUMENT;
  if (int64_t(args.height) * args.width * args.n_keys > INT32_MAX) return FGVC_E_ARGUMENT;
  if (!args.query || !args.keys || !args.scores || !args.positions) return FGVC_E_ARGUMENT;
  if (args.screened && (!args.query_half || !args.key_halves)) return FGVC_E_ARGUMENT;
  return FGVC_OK;
}

MatchJob plan_job(const fgvc_match_args& args, const WindowTables& tables) {
  MatchJob job = {};
  job.height = args.height;
  job.width = args.width;
  job.channels = args.channels;
  job.padded_channels = fgvc_padded_channels(args.channels);
  job.topk = args.topk;
  job.n_keys = args.n_keys;
  job.window = tables.view();
  job.max_runs = tables.max_runs();
  job.tiles_x = (args.width + job.window.tile_w - 1) / job.window.tile_w;
  job.tiles_y = (args.height + job.window.tile_h - 1) / job.window.tile_h;
  job.query = args.query;
  job.keys = args.keys;
  job.query_half = args.query_half;
  job.key_halves = args.key_halves;
  job.active = args.active;
  job.scores = args.scores;
  job.positions = args.positions;
  return job;
}

// Squares of 8 x 8 tiles reuse the key rows in a second-level cache best (measured on 2 MiB); fewer tiles where that
// would leave threads without work.
void choose_groups(MatchJob& job, int threads) {
  job.group_w = job.group_h = 8;
  const auto groups = [&job] {
    job.groups_x = (job.tiles_x + job.group_w - 1) / job.group_w;
    return int64_t(job.groups_x) * ((job.tiles_y + job.group_h - 1) / job.group_h);
  };
  while (groups() < 4 * threads && job.group_w * job.group_h > 2) (job.group_h > 1 ? job.group_h : job.group_w) /= 2;
}

struct Free {
  void operator()(void* block) const { std::free(block); }
};

int32_t run_match(const fgvc_match_args& args, const Kernels& kernels) {
  const WindowTables tables(args.height, args.width, args.window == FGVC_CIRCLE, args.radius, args.screened != 0);
  MatchJob job = plan_job(args, tables);
  choose_groups(job, args.threads);
  const auto workspace = args.screened ? kernels.screened_workspace : kernels.exact_workspace;
  const auto match = args.screened ? kernels.match_screened : kernels.match_exact;
  const size_t bytes = size_t(workspace(job) + 63) / 64 * 64;
  // Not aligned_alloc: before glibc 2.38 it hardly reuses memory (its bug 14581), and a stream's heap grew by 10 MB.
  const std::unique_ptr<void, Free> block(std::malloc(bytes * size_t(args.threads) + 63));
  if (!block) return FGVC_E_MEMORY;
  char* const aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(block.get()) + 63) & ~uintptr_t(63));
  std::vector<int64_t> stats(size_t(args.threads) * 8, 0);
  const int64_t groups = int64_t(job.groups_x) * ((job.tiles_y + job.group_h - 1) / job.group_h);
  parallel_for(args.threads, groups, [&](int worker, int64_t group) {
    match(job, int(group), aligned + bytes * size_t(worker), &stats[size_t(worker) * 8]);
  });
  if (args.stats)
    for (int i = 0; i < 4; ++i) {
      args.stats[i] = 0;
      for (int worker = 0; worker < args.threads; ++worker) args.stats[i] += stats[size_t(worker) * 8 + i];
    }
  return FGVC_OK;
}

}  // namespace

int32_t fgvc_match(const fgvc_match_args* args) {
  if (!args) return FGVC_E_ARGUMENT;
  const Kernels* kernels = usable_kernels(args->isa);
  if (!kernels || (args->screened && !kernels->match_screened)) return FGVC_E_ISA;
  const int32_t fault = check_match(*args);
  if (fault) return fault;
  try {
    return run_match(*args, *kernels);
  } catch (const std::bad_alloc&) {
    return FGVC_E_MEMORY;
  }
}
