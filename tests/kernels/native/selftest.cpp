// Stand-alone check of the native kernels through their C ABI, against plain double-precision loops.  It runs where
// Python does not reach: under qemu for 64-bit ARM, and with the sanitizers.  Exit code 0 = all instruction sets agree.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "fgvc_native.h"

namespace {

struct Case {
  const char* name;
  int height, width, channels, n_keys, window;
  double radius;
  int topk, threads;
};

const Case kCases[] = {
    {"circle", 11, 14, 24, 3, FGVC_CIRCLE, 4.5, 10, 1}, {"square", 9, 13, 40, 2, FGVC_SQUARE, 2.0, 10, 2},
    {"one pixel", 1, 1, 8, 1, FGVC_CIRCLE, 0.5, 10, 1}, {"one column", 33, 1, 16, 4, FGVC_CIRCLE, 3.0, 1, 1},
    {"one row", 1, 33, 96, 2, FGVC_SQUARE, 40.0, 32, 2}, {"wide features", 6, 7, 256, 2, FGVC_CIRCLE, 15.0, 32, 1},
};
enum Kind { kRelu, kSigned, kSame, kHoles };
const char* const kKindNames[] = {"relu", "signed", "all the same", "zeros and NaN"};

struct Half {
  std::vector<uint16_t> rows;
  std::vector<float> bias, error, norm;
  fgvc_half view() const { return {rows.data(), bias.data(), error.data(), norm.data()}; }
};

int faults = 0;

void fault(int isa, const Case& c, int kind, const std::string& what) {
  std::printf("FAULT %s, %s, %s: %s\n", fgvc_isa_name(isa), c.name, kKindNames[kind], what.c_str());
  ++faults;
}

std::vector<float> make_raw(const Case& c, int kind, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> raw(size_t(c.height) * c.width * c.channels);
  for (size_t i = 0; i < raw.size(); ++i) {
    const size_t pixel = i / c.channels;
    const float value = normal(random);
    raw[i] = kind == kSigned ? value : kind == kSame ? float(i % c.channels + 1) : std::max(0.f, 1 + .5f * value);
    if (kind == kHoles && pixel % 5 == 0) raw[i] = 0;
    if (kind == kHoles && pixel % 7 == 3 && i % c.channels == 2) raw[i] = pixel % 2 ? NAN : INFINITY;
  }
  return raw;
}

bool in_window(const Case& c, int dy, int dx) {
  if (c.window == FGVC_SQUARE) return std::abs(dy) <= c.radius && std::abs(dx) <= c.radius;
  return std::sqrt(double(dy * dy + dx * dx)) < c.radius;
}

double exact_score(const Case& c, const std::vector<float>& query, const std::vector<float>& key, int q, int k) {
  double sum = 0;
  for (int i = 0; i < c.channels; ++i) sum += double(query[size_t(q) * c.channels + i]) * key[size_t(k) * c.channels + i];
  return sum;
}

// Best finite scores of one query, best first.
std::vector<double> expected(const Case& c, const std::vector<std::vector<float>>& frames, int q) {
  std::vector<double> all;
  for (int slot = 1; slot <= c.n_keys; ++slot)
    for (int k = 0; k < c.height * c.width; ++k) {
      if (!in_window(c, k / c.width - q / c.width, k % c.width - q % c.width)) continue;
      const double score = exact_score(c, frames[0], frames[slot], q, k);
      if (std::isfinite(score)) all.push_back(score);
    }
  std::sort(all.rbegin(), all.rend());
  all.resize(size_t(c.topk), -INFINITY);
  return all;
}

void check_scores(int isa, const Case& c, int kind, const std::vector<std::vector<float>>& frames,
                  const std::vector<float>& scores, const std::vector<int32_t>& positions) {
  const int pixels = c.height * c.width;
  for (int q = 0; q < pixels; ++q) {
    const std::vector<double> want = expected(c, frames, q);
    for (int rank = 0; rank < c.topk; ++rank) {
      const float score = scores[size_t(q) * c.topk + rank];
      const int32_t at = positions[size_t(q) * c.topk + rank];
      if (std::isinf(want[rank]) != std::isinf(score) || (!std::isinf(score) && !(std::fabs(score - want[rank]) < 2e-6)))
        return fault(isa, c, kind, "score " + std::to_string(score) + ", not " + std::to_string(want[rank]));
      if (std::isinf(score)) continue;
      const double own = exact_score(c, frames[0], frames[1 + at / pixels], q, at % pixels);
      if (!(std::fabs(own - score) < 2e-6)) return fault(isa, c, kind, "position of another key");
    }
  }
}

Half make_half(int isa, const Case& c, const std::vector<float>& unit, const std::vector<float>& centre) {
  const size_t pixels = size_t(c.height) * c.width, padded = pixels + FGVC_ROW_PADDING;
  Half half;
  half.rows.resize(padded * fgvc_padded_channels(c.channels));
  for (auto* part : {&half.bias, &half.error, &half.norm}) part->resize(padded);
  if (fgvc_halve(isa, c.threads, int64_t(pixels), c.channels, unit.data(), centre.data(), half.rows.data(),
                 half.bias.data(), half.error.data(), half.norm.data()))
    std::printf("FAULT halve\n"), ++faults;
  return half;
}

void check_propagate(int isa, const Case& c, int kind, const std::vector<float>& scores,
                     const std::vector<int32_t>& positions) {
  const int pixels = c.height * c.width, maps = 70;
  std::vector<std::vector<float>> labels(c.n_keys, std::vector<float>(size_t(pixels) * maps));
  std::vector<const float*> pointers;
  for (int slot = 0; slot < c.n_keys; ++slot) {
    for (size_t i = 0; i < labels[slot].size(); ++i) labels[slot][i] = float((i * 37 + slot * 11) % 101) / 100;
    pointers.push_back(labels[slot].data());
  }
  std::vector<float> out(size_t(pixels) * maps, NAN);
  fgvc_propagate(isa, c.threads, pixels, c.topk, c.n_keys, maps, .07f, scores.data(), positions.data(),
                 pointers.data(), out.data());
  for (int q = 0; q < pixels; ++q)
    for (int map = 0; map < maps; ++map) {
      double sum = 0, weights = 0;
      for (int j = 0; j < c.topk; ++j) {
        const double score = scores[size_t(q) * c.topk + j];
        if (std::isinf(score)) continue;
        const double weight = std::exp((score - scores[size_t(q) * c.topk]) / .07f);
        const int32_t at = positions[size_t(q) * c.topk + j];
        sum += weight * labels[at / pixels][size_t(at % pixels) * maps + map];
        weights += weight;
      }
      const double want = weights > 0 ? sum / weights : 0;
      if (!(std::fabs(out[size_t(q) * maps + map] - want) < 2e-6)) return fault(isa, c, kind, "label map");
    }
}

void run(int isa, const Case& c, int kind) {
  std::mt19937 random(7);
  const int64_t pixels = int64_t(c.height) * c.width;
  std::vector<std::vector<float>> frames;
  std::vector<Half> halves;
  std::vector<fgvc_half> views;
  std::vector<const float*> keys;
  std::vector<float> centre(size_t(c.channels), kind == kSigned ? 0.f : .5f / std::sqrt(float(c.channels)));
  for (int frame = 0; frame <= c.n_keys; ++frame) {
    const std::vector<float> raw = make_raw(c, kind, random);
    frames.emplace_back(raw.size(), NAN);
    if (fgvc_normalise(isa, c.threads, pixels, c.channels, raw.data(), frames.back().data())) ++faults;
    halves.push_back(make_half(isa, c, frames.back(), centre));
  }
  for (int frame = 0; frame <= c.n_keys; ++frame) {
    views.push_back(halves[frame].view());
    if (frame) keys.push_back(frames[frame].data());
  }
  std::vector<float> scores[2];
  for (int screened = 0; screened <= fgvc_isa_screens(isa); ++screened) {
    scores[screened].assign(size_t(pixels) * c.topk, NAN);
    std::vector<int32_t> positions(scores[screened].size(), -1);
    fgvc_match_args args = {isa, c.threads, c.height, c.width, c.channels, c.window, c.radius, c.topk, c.n_keys,
                            screened, 0, frames[0].data(), keys.data(), &views[0], &views[1], nullptr,
                            scores[screened].data(), positions.data(), nullptr};
    if (fgvc_match(&args)) fault(isa, c, kind, "refused");
    check_scores(isa, c, kind, frames, scores[screened], positions);
    check_propagate(isa, c, kind, scores[screened], positions);
    if (scores[screened] != scores[0]) fault(isa, c, kind, "screening changed a score");
  }
}

}  // namespace

int main() {
  for (int isa = 0; isa < fgvc_isa_count(); ++isa) {
    if (const char* missing = fgvc_isa_missing(isa)) {
      std::printf("%s: not here (%s)\n", fgvc_isa_name(isa), missing);
      continue;
    }
    for (const Case& c : kCases)
      for (int kind = kRelu; kind <= kHoles; ++kind) run(isa, c, kind);
    std::printf("%s: %s\n", fgvc_isa_name(isa), faults ? "faults" : "ok");
  }
  return faults ? 1 : 0;
}
