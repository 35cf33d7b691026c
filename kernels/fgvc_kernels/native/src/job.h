// Plain data passed from the baseline code (api.cpp) into the translation units of the instruction sets.
//
// No function with a body and no standard container belongs here: an inline function compiled with AVX-512 flags in one
// unit may be the copy the linker keeps for all, and would crash an older CPU.  test_native_build.py checks the objects.
#pragma once
#include "fgvc_native.h"

namespace fgvc {

constexpr int kLanes = 16;  // query pixels per tile, one SIMD lane each
constexpr int kRun = 16;    // keys per run: consecutive pixels of one row

// Consecutive keys of one image row; masks[i] has bit l set when lane l may attend to key + i.  Sixteen masks may be
// read, whatever the count.
struct Run {
  int32_t key;
  int32_t count;
  const uint16_t* masks;
};

// Which keys the lanes of a tile reach, as offsets from the tile's first pixel.  Rows are offsets -reach_y ..
// tile_h - 1 + reach_y; the columns of a row that any lane reaches are first[row] .. last[row].
struct Window {
  int tile_w, tile_h;
  int reach_x, reach_y;
  int pitch;
  const uint16_t* masks;
  const int16_t* first;
  const int16_t* last;
};

// One call of match, after checking.  Groups are rectangles of group_w x group_h tiles: the unit of scheduling, and the
// set of tiles visited for one key frame before the next, so that key rows are reused from the cache.
struct MatchJob {
  int height, width, channels, padded_channels, topk, n_keys;
  int tiles_x, tiles_y, group_w, group_h, groups_x;
  int max_runs;
  Window window;
  const float* query;
  const float* const* keys;
  const fgvc_half* query_half;
  const fgvc_half* key_halves;
  const uint8_t* active;
  float* scores;
  int32_t* positions;
};

struct Range {
  int64_t begin, end;
};

struct PackJob {
  int channels, padded_channels;
  const float* raw;
  float* unit;
  const float* centre;
  uint16_t* rows;
  float* bias;
  float* error;
  float* norm;
};

struct PropagateJob {
  int64_t pixels;
  int topk, n_keys, maps;
  float temperature;
  const float* scores;
  const int32_t* positions;
  const float* const* labels;
  float* out;
};

// What one instruction set offers.  `stats` is int64[4], FGVC_STAT_*; workspaces are 64-byte aligned.
struct Kernels {
  int64_t (*exact_workspace)(const MatchJob&);
  void (*match_exact)(const MatchJob&, int group, void* workspace, int64_t* stats);
  int64_t (*screened_workspace)(const MatchJob&);  // null: no bf16 engine
  void (*match_screened)(const MatchJob&, int group, void* workspace, int64_t* stats);
  void (*normalise)(const PackJob&, Range);
  int (*halve)(const PackJob&, Range);  // number of rows longer than 1.001
  void (*propagate)(const PropagateJob&, Range);
};

// Key rows that the tile whose first pixel is (x0, y0) reaches, nearest first, each as one Run of any length; returns
// their number (<= job.height).
int plan_rows(const MatchJob& job, int x0, int y0, Run* rows);

}  // namespace fgvc
