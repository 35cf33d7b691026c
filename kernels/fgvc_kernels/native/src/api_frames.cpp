// Exported functions that work pixel by pixel (normalise, halve, propagate) and those that describe the library.
#include <atomic>
#include <cmath>

#include "api_common.h"
#include "threads.h"

using namespace fgvc;

namespace {

// Chunks of pixels for the row-wise functions: small enough to balance, large enough to amortise.
template <class Function>
void over_pixels(int threads, int64_t pixels, const Function& function) {
  constexpr int64_t kChunk = 512;
  parallel_for(threads, (pixels + kChunk - 1) / kChunk, [&](int, int64_t index) {
    const int64_t begin = index * kChunk;
    function(Range{begin, begin + kChunk < pixels ? begin + kChunk : pixels});
  });
}

// The zero rows after the last pixel, which a run of 16 keys may read.
void pad_half(const PackJob& job, int64_t pixels) {
  for (int64_t i = pixels * job.padded_channels; i < (pixels + FGVC_ROW_PADDING) * job.padded_channels; ++i)
    job.rows[i] = 0;
  for (int64_t pixel = pixels; pixel < pixels + FGVC_ROW_PADDING; ++pixel) {
    job.bias[pixel] = -INFINITY;
    job.error[pixel] = job.norm[pixel] = 0;
  }
}

bool bad_positions(const PropagateJob& job) {
  const int64_t end = job.pixels * job.n_keys;
  for (int64_t i = 0; i < job.pixels * job.topk; ++i)
    if (job.positions[i] < 0 || job.positions[i] >= end) return true;
  return false;
}

}  // namespace

int32_t fgvc_abi_version(void) { return FGVC_ABI_VERSION; }
int32_t fgvc_isa_count(void) { return isa_count(); }
const char* fgvc_isa_name(int32_t isa) { return isa < 0 || isa >= isa_count() ? nullptr : isa_at(isa).name; }
const char* fgvc_isa_missing(int32_t isa) {
  return isa < 0 || isa >= isa_count() ? "an instruction set of that number" : isa_at(isa).missing();
}
int32_t fgvc_isa_screens(int32_t isa) {
  return isa >= 0 && isa < isa_count() && isa_at(isa).kernels->match_screened != nullptr;
}
int32_t fgvc_isa_screening_pays(int32_t isa) { return fgvc_isa_screens(isa) && isa_at(isa).screening_pays(); }
int32_t fgvc_isa_default(void) {
  int index = 0;
  while (isa_at(index).missing()) ++index;
  return index;
}
int32_t fgvc_padded_channels(int32_t channels) { return (channels + 31) / 32 * 32; }

int32_t fgvc_normalise(int32_t isa, int32_t threads, int64_t pixels, int32_t channels, const float* raw, float* unit) {
  const Kernels* kernels = usable_kernels(isa);
  if (!kernels) return FGVC_E_ISA;
  if (bad_threads(threads) || pixels < 1 || channels < 1 || !raw || !unit) return FGVC_E_ARGUMENT;
  PackJob job = {};
  job.channels = channels;
  job.raw = raw;
  job.unit = unit;
  over_pixels(worthwhile_threads(threads, pixels * channels), pixels,
              [&](Range range) { kernels->normalise(job, range); });
  return FGVC_OK;
}

int32_t fgvc_halve(int32_t isa, int32_t threads, int64_t pixels, int32_t channels, const float* unit,
                   const float* centre, uint16_t* rows, float* bias, float* error, float* norm) {
  const Kernels* kernels = usable_kernels(isa);
  if (!kernels) return FGVC_E_ISA;
  if (bad_threads(threads) || pixels < 1 || channels < 1 || !unit || !centre) return FGVC_E_ARGUMENT;
  if (!rows || !bias || !error || !norm) return FGVC_E_ARGUMENT;
  PackJob job = {};
  job.channels = channels;
  job.padded_channels = fgvc_padded_channels(channels);
  job.unit = const_cast<float*>(unit);
  job.centre = centre;
  job.rows = rows;
  job.bias = bias;
  job.error = error;
  job.norm = norm;
  std::atomic<int> too_long{0};
  over_pixels(worthwhile_threads(threads, pixels * channels), pixels,
              [&](Range range) { too_long += kernels->halve(job, range); });
  pad_half(job, pixels);
  return too_long ? FGVC_E_NOT_UNIT : FGVC_OK;
}

int32_t fgvc_propagate(int32_t isa, int32_t threads, int64_t pixels, int32_t topk, int32_t n_keys, int32_t maps,
                       float temperature, const float* scores, const int32_t* positions, const float* const* labels,
                       float* out) {
  const Kernels* kernels = usable_kernels(isa);
  if (!kernels) return FGVC_E_ISA;
  if (bad_threads(threads) || pixels < 1 || topk < 1 || topk > 32 || n_keys < 1 || maps < 1) return FGVC_E_ARGUMENT;
  if (!scores || !positions || !labels || !out || !(temperature > 0)) return FGVC_E_ARGUMENT;
  if (pixels * n_keys > INT32_MAX) return FGVC_E_ARGUMENT;
  const PropagateJob job = {pixels, topk, n_keys, maps, temperature, scores, positions, labels, out};
  if (bad_positions(job)) return FGVC_E_ARGUMENT;
  over_pixels(worthwhile_threads(threads, pixels * topk * (maps + 16) / 4), pixels,
              [&](Range range) { kernels->propagate(job, range); });
  return FGVC_OK;
}
