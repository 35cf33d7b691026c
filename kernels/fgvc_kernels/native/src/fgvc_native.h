// C ABI of the native CPU kernels; ctypes mirrors it in ../library.py.  Change a struct: change FGVC_ABI_VERSION.
//
// Every function returns 0 or a negative FGVC_E_* code and never throws.  Arrays are C-contiguous; `pixels` = H * W in
// raster order.  The caller (Python) has checked shapes; what is checked here is what would otherwise corrupt memory.
#ifndef FGVC_NATIVE_H
#define FGVC_NATIVE_H
#include <stdint.h>

#define FGVC_ABI_VERSION 1
#define FGVC_EXPORT extern "C" __attribute__((visibility("default")))

enum { FGVC_OK = 0, FGVC_E_ARGUMENT = -1, FGVC_E_ISA = -2, FGVC_E_MEMORY = -3, FGVC_E_NOT_UNIT = -4 };
enum { FGVC_CIRCLE = 0, FGVC_SQUARE = 1 };

// bf16 copy of one frame around a centre vector, and what the screening bound needs (docs/screening.md).
// Rows are padded to `fgvc_padded_channels(C)`; FGVC_ROW_PADDING zero rows follow the last pixel.
typedef struct {
  const uint16_t* rows;  // [pixels + FGVC_ROW_PADDING, padded channels] bf16 of (unit - centre)
  const float* bias;     // [pixels + FGVC_ROW_PADDING] centre . (unit - centre); -inf for a pixel that is not finite
  const float* error;    // [same] upper bound of |unit - centre - rows|
  const float* norm;     // [same] upper bound of |unit - centre|
} fgvc_half;
#define FGVC_ROW_PADDING 16

typedef struct {
  int32_t isa;                // index of an instruction set, see fgvc_isa_name
  int32_t threads;            // >= 1
  int32_t height, width;      // of the query and of every key frame
  int32_t channels;           // multiple of 8
  int32_t window;             // FGVC_CIRCLE or FGVC_SQUARE
  double radius;              // > 0, feature pixels
  int32_t topk;               // 1 .. 32
  int32_t n_keys;             // number of key frames (slots)
  int32_t screened;           // 1: bf16 screening, needs the halves; 0: fp32 throughout
  int32_t reserved;
  const float* query;         // [pixels, C] unit features
  const float* const* keys;   // n_keys x [pixels, C]
  const fgvc_half* query_half;
  const fgvc_half* key_halves;
  const uint8_t* active;      // [pixels] or null; 0 = leave this query out
  float* scores;              // out [pixels, topk]
  int32_t* positions;         // out [pixels, topk]
  int64_t* stats;             // out [4] or null: see FGVC_STAT_*
} fgvc_match_args;
enum { FGVC_STAT_PAIRS = 0, FGVC_STAT_HITS = 1, FGVC_STAT_RESCORED = 2, FGVC_STAT_FLUSHES = 3 };

FGVC_EXPORT int32_t fgvc_abi_version(void);
FGVC_EXPORT int32_t fgvc_isa_count(void);
FGVC_EXPORT const char* fgvc_isa_name(int32_t isa);
FGVC_EXPORT const char* fgvc_isa_missing(int32_t isa);  // null when this CPU has it, else what is missing
FGVC_EXPORT int32_t fgvc_isa_screens(int32_t isa);        // 1: has a bf16 engine
FGVC_EXPORT int32_t fgvc_isa_screening_pays(int32_t isa);  // 1: and it is faster than fp32 on this CPU
FGVC_EXPORT int32_t fgvc_isa_default(void);             // the fastest this CPU has
FGVC_EXPORT int32_t fgvc_padded_channels(int32_t channels);

// unit[i] = raw[i] / max(|raw[i]|, 1e-12)
FGVC_EXPORT int32_t fgvc_normalise(int32_t isa, int32_t threads, int64_t pixels, int32_t channels, const float* raw,
                                   float* unit);
// Fill the four arrays of a half (the padding too).  FGVC_E_NOT_UNIT when a finite row is longer than 1.001.
FGVC_EXPORT int32_t fgvc_halve(int32_t isa, int32_t threads, int64_t pixels, int32_t channels, const float* unit,
                               const float* centre, uint16_t* rows, float* bias, float* error, float* norm);
FGVC_EXPORT int32_t fgvc_match(const fgvc_match_args* args);
// out[i, :] = sum_j softmax_j(scores[i, j] / temperature) * labels[slot(i, j)][pixel(i, j), :]; 0 where no score is finite
FGVC_EXPORT int32_t fgvc_propagate(int32_t isa, int32_t threads, int64_t pixels, int32_t topk, int32_t n_keys,
                                   int32_t maps, float temperature, const float* scores, const int32_t* positions,
                                   const float* const* labels, float* out);
#endif
