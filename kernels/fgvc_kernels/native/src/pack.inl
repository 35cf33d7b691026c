// Once per frame: unit features, their centred bf16 copy, and the measured norms of the screening bound
// (docs/screening.md).  Included inside an ISA namespace.

// Sixteen partial sums, so that the compiler can keep them in registers.
struct Sums {
  double part[kLanes];

  double total() const {
    double sum = 0;
    for (int i = 0; i < kLanes; ++i) sum += part[i];
    return sum;
  }
};

static double squared_norm(const float* row, int channels) {
  Sums sums = {};
  int channel = 0;
  for (; channel + kLanes <= channels; channel += kLanes)
    for (int i = 0; i < kLanes; ++i) sums.part[i] += double(row[channel + i]) * row[channel + i];
  for (int i = 0; channel < channels; ++channel, ++i) sums.part[i] += double(row[channel]) * row[channel];
  return sums.total();
}

static void normalise(const PackJob& job, Range range) {
  for (int64_t pixel = range.begin; pixel < range.end; ++pixel) {
    const float* raw = job.raw + pixel * job.channels;
    float* unit = job.unit + pixel * job.channels;
    const double norm = __builtin_sqrt(squared_norm(raw, job.channels));
    if (!(norm <= 3e38)) {  // beyond float, or not a number
      for (int channel = 0; channel < job.channels; ++channel) unit[channel] = float(raw[channel] / norm);
      continue;
    }
    const float divisor = norm > 1e-12 ? float(norm) : 1e-12f;
    for (int channel = 0; channel < job.channels; ++channel) unit[channel] = raw[channel] / divisor;
  }
}

// Round to nearest, ties to even; a denormal becomes zero because the bf16 instructions would read it as zero.
static inline uint16_t to_bf16(float value) {
  uint32_t word;
  __builtin_memcpy(&word, &value, 4);
  const uint32_t rounded = (word + 0x7fffu + (word >> 16 & 1u)) >> 16;
  return (rounded & 0x7f80u) == 0 ? uint16_t(0) : uint16_t(rounded);
}

static inline float from_bf16(uint16_t half) {
  const uint32_t word = uint32_t(half) << 16;
  float value;
  __builtin_memcpy(&value, &word, 4);
  return value;
}

// Sixteen partial sums of each, in float: their rounding is part of the bounds below.
struct HalfSums {
  float bias[kLanes], error[kLanes], norm[kLanes], length[kLanes];
};

static inline float total(const float* part) {
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += part[i];
  return sum;
}

static inline void halve_block(const float* unit, const float* centre, int count, uint16_t* half, HalfSums& sums) {
  for (int i = 0; i < count; ++i) {
    const float moved = unit[i] - centre[i];
    half[i] = to_bf16(moved);
    const float error = moved - from_bf16(half[i]);
    sums.bias[i] += centre[i] * moved;
    sums.error[i] += error * error;
    sums.norm[i] += moved * moved;
    sums.length[i] += unit[i] * unit[i];
  }
}

static bool all_finite(const float* row, int channels) {
  float product = 0;
  for (int channel = 0; channel < channels; ++channel) product += row[channel] * 0;
  return product == 0;
}

static void halve_nothing(const PackJob& job, int64_t pixel) {
  uint16_t* half = job.rows + pixel * job.padded_channels;
  for (int channel = 0; channel < job.padded_channels; ++channel) half[channel] = 0;
  job.bias[pixel] = -__builtin_inff();
  job.error[pixel] = job.norm[pixel] = 0;
}

// A pixel that is not finite never matches: its bias of -inf says so.  False when the pixel is longer than 1.001.
static bool halve_pixel(const PackJob& job, int64_t pixel) {
  const float* unit = job.unit + pixel * job.channels;
  uint16_t* half = job.rows + pixel * job.padded_channels;
  HalfSums sums = {};
  int channel = 0;
  for (; channel + kLanes <= job.channels; channel += kLanes)
    halve_block(unit + channel, job.centre + channel, kLanes, half + channel, sums);
  if (channel < job.channels)
    halve_block(unit + channel, job.centre + channel, job.channels - channel, half + channel, sums);
  for (channel = job.channels; channel < job.padded_channels; ++channel) half[channel] = 0;
  const double length = total(sums.length);
  if (!(length <= 1.001 * 1.001)) {
    halve_nothing(job, pixel);
    return !all_finite(unit, job.channels);
  }
  // Relative error of the sums, and of `moved`; of the bf16 products' own sum, per unit of both norms.
  const double sum_error = 1 + (job.channels / kLanes + 20) * 0x1p-23;
  const double product_error = (job.padded_channels + 2) * 0x1p-23 * 1.01;
  const double norm = __builtin_sqrt(total(sums.norm)) * sum_error + 1e-17;
  const double error = __builtin_sqrt(total(sums.error)) * sum_error + 0x1p-23 * norm + 1e-17;
  job.bias[pixel] = total(sums.bias);
  job.norm[pixel] = float(norm * (1 + 0x1p-22));
  job.error[pixel] = float((error + product_error * (norm + error)) * (1 + 0x1p-22));
  return true;
}

static int halve(const PackJob& job, Range range) {
  int too_long = 0;
  for (int64_t pixel = range.begin; pixel < range.end; ++pixel) too_long += !halve_pixel(job, pixel);
  return too_long;
}
