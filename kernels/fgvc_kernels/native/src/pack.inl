// Once per frame: unit features, their centred bf16 copy, and the measured norms of the screening bound.
// Included inside an ISA namespace.  Sums are double: the bound then needs no error analysis of its own
// (docs/screening.md), and raw features of any finite size normalise correctly.

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

struct HalfRow {
  Sums bias, error, norm;
};

static inline void halve_channel(HalfRow& row, int i, float unit, float centre, uint16_t* half) {
  *half = to_bf16(unit - centre);
  const double exact = double(unit) - double(centre);
  const double error = exact - double(from_bf16(*half));
  row.bias.part[i] += double(centre) * exact;
  row.error.part[i] += error * error;
  row.norm.part[i] += exact * exact;
}

// Rows whose bound is not finite never match; their key bias -inf says so.
static void halve_pixel(const PackJob& job, int64_t pixel) {
  const float* unit = job.unit + pixel * job.channels;
  uint16_t* half = job.rows + pixel * job.padded_channels;
  HalfRow row = {};
  int channel = 0;
  for (; channel + kLanes <= job.channels; channel += kLanes)
    for (int i = 0; i < kLanes; ++i)
      halve_channel(row, i, unit[channel + i], job.centre[channel + i], half + channel + i);
  for (int i = 0; channel < job.channels; ++channel, ++i)
    halve_channel(row, i, unit[channel], job.centre[channel], half + channel);
  for (; channel < job.padded_channels; ++channel) half[channel] = 0;
  const double norm = __builtin_sqrt(row.norm.total()), error = __builtin_sqrt(row.error.total());
  if (!(norm < 1e30)) {
    for (channel = 0; channel < job.padded_channels; ++channel) half[channel] = 0;
    job.bias[pixel] = -__builtin_inff();
    job.error[pixel] = job.norm[pixel] = 0;
    return;
  }
  const double sum_error = (job.padded_channels + 2) * 0x1p-23 * 1.01;
  job.bias[pixel] = float(row.bias.total());
  job.norm[pixel] = float((norm + 1e-30) * (1 + 0x1p-20));
  job.error[pixel] = float((error + sum_error * (norm + error) + 1e-30) * (1 + 0x1p-20));
}

static int halve(const PackJob& job, Range range) {
  int too_long = 0;
  for (int64_t pixel = range.begin; pixel < range.end; ++pixel) {
    const double squared = squared_norm(job.unit + pixel * job.channels, job.channels);
    if (squared > 1.001 * 1.001 && squared < __builtin_inf()) ++too_long;
    halve_pixel(job, pixel);
  }
  return too_long;
}
