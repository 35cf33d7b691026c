// Sixteen query pixels: where they are, which lanes are alive, and writing their result.  Inside an ISA namespace.

struct Place {
  int x0, y0;
  unsigned live;  // bit l: lane l is a pixel of the map and active
};

static inline int64_t lane_pixel(const MatchJob& job, const Place& place, int lane) {
  const int x = place.x0 + lane % job.window.tile_w, y = place.y0 + lane / job.window.tile_w;
  return int64_t(y) * job.width + x;
}

static inline Place place_tile(const MatchJob& job, int tile_x, int tile_y) {
  Place place = {tile_x * job.window.tile_w, tile_y * job.window.tile_h, 0};
  for (int lane = 0; lane < kLanes; ++lane) {
    const int x = place.x0 + lane % job.window.tile_w, y = place.y0 + lane / job.window.tile_w;
    if (x >= job.width || y >= job.height) continue;
    if (!job.active || job.active[int64_t(y) * job.width + x]) place.live |= 1u << lane;
  }
  return place;
}

// source: rows of `words` 32-bit words, one row per pixel; out: `words` rows of 16, `stride` words apart, zero in dead
// lanes.
static void transpose_tile(const MatchJob& job, const Place& place, const float* source, int words, int stride,
                           float* out) {
  static const float kZeros[16] = {};
  const float* rows[kLanes];
  int64_t step[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    const bool live = place.live >> lane & 1;
    rows[lane] = live ? source + lane_pixel(job, place, lane) * words : kZeros;
    step[lane] = live ? 16 : 0;
  }
  int word = 0;
  for (; word + 16 <= words; word += 16, out += 16 * stride) {
    transpose_block(rows, out, stride);
    for (int lane = 0; lane < kLanes; ++lane) rows[lane] += step[lane];
  }
  for (int i = 0; word < words; ++word, ++i)
    for (int lane = 0; lane < kLanes; ++lane) out[i * stride + lane] = rows[lane][i];
}

// Pixels of the tile that exist but are not live get -inf and 0, like a list without keys.
static void write_tile(const MatchJob& job, const Place& place, const TopK& best) {
  for (int lane = 0; lane < kLanes; ++lane) {
    const int x = place.x0 + lane % job.window.tile_w, y = place.y0 + lane / job.window.tile_w;
    if (x >= job.width || y >= job.height) continue;
    const bool live = place.live >> lane & 1;
    const int64_t row = (int64_t(y) * job.width + x) * job.topk;
    for (int rank = 0; rank < job.topk; ++rank) {
      job.scores[row + rank] = live ? best.scores[rank * kLanes + lane] : -__builtin_inff();
      job.positions[row + rank] = live ? best.positions[rank * kLanes + lane] : 0;
    }
  }
}

// Tiles of a group in visiting order; returns how many have a live lane.  Others are written at once as empty.
static int place_group(const MatchJob& job, int group, Place* places) {
  const int first_x = group % job.groups_x * job.group_w, first_y = group / job.groups_x * job.group_h;
  int count = 0;
  for (int y = first_y; y < first_y + job.group_h && y < job.tiles_y; ++y)
    for (int x = first_x; x < first_x + job.group_w && x < job.tiles_x; ++x) {
      const Place place = place_tile(job, x, y);
      if (place.live)
        places[count++] = place;
      else
        write_tile(job, place, TopK{nullptr, nullptr, 0});
    }
  return count;
}
