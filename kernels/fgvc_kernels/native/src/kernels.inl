// The body of one instruction set's translation unit.  Before including it the unit defines FGVC_NAMESPACE, FGVC_LANES
// (a lanes_*.h), FGVC_GROUP and FGVC_TILES (keys and query tiles of the fp32 micro-kernel: their product and a few more
// must fit the registers) and, when it can screen, FGVC_ENGINE (a low_*.inl).
#include <math.h>
#include <stdint.h>

#include "job.h"

namespace fgvc {
namespace FGVC_NAMESPACE {

constexpr int kGroup = FGVC_GROUP;
constexpr int kMostTiles = FGVC_TILES;

#include FGVC_LANES
#include "workspace.inl"
#include "topk.inl"
#include "exact.inl"
#include "tile.inl"
#include "match_exact.inl"
#include "pack.inl"
#include "propagate.inl"
#ifdef FGVC_ENGINE
#include "low.inl"
#include FGVC_ENGINE
#include "screen.inl"
#include "match_screened.inl"
#endif

extern const Kernels kernels;
#ifdef FGVC_ENGINE
const Kernels kernels = {exact_workspace, match_exact, screened_workspace, match_screened, normalise, halve, propagate};
#else
const Kernels kernels = {exact_workspace, match_exact, nullptr, nullptr, normalise, halve, propagate};
#endif

}  // namespace FGVC_NAMESPACE
}  // namespace fgvc
