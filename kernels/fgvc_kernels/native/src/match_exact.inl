// fp32 throughout: every key of the window is scored exactly.  Included inside an ISA namespace.
//
// Where there are registers for it (kMostTiles = 2), neighbouring tiles share the keys that both reach: each key value
// is then fetched once for 32 queries.

struct KeyList {
  int32_t* pixels;
  uint16_t* masks[2];
  int count;
};
enum { kShared, kFirstOnly, kSecondOnly, kLists };

struct ExactSpace {
  Place* places;
  Run* rows[2];
  KeyList lists[kLists];
  float* queries;      // [tiles][C][kQueryStride]; a pair of tiles lies in the part of its first
  float* scores;       // [tiles][k][16]
  int32_t* positions;  // [tiles][k][16]
};

static inline ExactSpace carve_exact(const MatchJob& job, Carver& carver) {
  const int64_t tiles = int64_t(job.group_w) * job.group_h, most_keys = int64_t(job.max_runs) * kRun;
  ExactSpace space;
  space.places = carver.take<Place>(tiles);
  for (Run*& rows : space.rows) rows = carver.take<Run>(job.height);
  for (KeyList& list : space.lists) {
    list.pixels = carver.take<int32_t>(most_keys);
    for (uint16_t*& masks : list.masks) masks = carver.take<uint16_t>(most_keys);
  }
  space.queries = carver.take<float>(tiles * job.channels * kQueryStride);
  space.scores = carver.take<float>(tiles * job.topk * kLanes);
  space.positions = carver.take<int32_t>(tiles * job.topk * kLanes);
  return space;
}

static int64_t exact_workspace(const MatchJob& job) {
  Carver carver = {nullptr, 0};
  carve_exact(job, carver);
  return carver.used;
}

// Keys of one frame, as score_list wants them.
struct WindowKeys {
  const float* frame;
  int64_t channels;
  int32_t first;
  const KeyList& list;
  int count;

  const float* key(int i) const { return frame + list.pixels[i] * channels; }
  unsigned mask(int tile, int i) const { return list.masks[tile][i]; }
  int32_t position(int i) const { return first + list.pixels[i]; }
};

// Appends the keys [begin, end) of one row; `other`: the same row as the second tile of a pair sees it, or null.
static inline void list_keys(KeyList& list, int32_t begin, int32_t end, const Run& row, const Run* other) {
  for (int32_t pixel = begin; pixel < end; ++pixel, ++list.count) {
    list.pixels[list.count] = pixel;
    list.masks[0][list.count] = row.masks[pixel - row.key];
    if (other) list.masks[1][list.count] = other->masks[pixel - other->key];
  }
}

// Of two neighbours on the same rows the first reaches further left, the second further right.
static void list_window(const MatchJob& job, const Place* places, int tiles, const ExactSpace& space, KeyList* lists) {
  for (int i = 0; i < kLists; ++i) lists[i] = space.lists[i], lists[i].count = 0;
  int n_rows = 0;
  for (int i = 0; i < tiles; ++i) n_rows = plan_rows(job, places[i].x0, places[i].y0, space.rows[i]);
  for (int r = 0; r < n_rows; ++r) {
    const Run& a = space.rows[0][r];
    const int32_t a_end = a.key + a.count;
    if (tiles == 1) {
      list_keys(lists[kFirstOnly], a.key, a_end, a, nullptr);
      continue;
    }
    const Run& b = space.rows[1][r];
    const int32_t b_end = b.key + b.count;
    list_keys(lists[kFirstOnly], a.key, b.key < a_end ? b.key : a_end, a, nullptr);
    list_keys(lists[kShared], b.key, a_end < b_end ? a_end : b_end, a, &b);
    list_keys(lists[kSecondOnly], b.key > a_end ? b.key : a_end, b_end, b, nullptr);
  }
}

// 2 when tiles i and i + 1 are scored together.
static inline int pair_at(const MatchJob& job, const Place* places, int i, int count) {
  if (kMostTiles < 2 || i + 1 >= count) return 1;
  const Place &a = places[i], &b = places[i + 1];
  return a.y0 == b.y0 && b.x0 == a.x0 + job.window.tile_w ? 2 : 1;
}

static void scan_exact(const MatchJob& job, const ExactSpace& space, int i, int tiles, int slot, int64_t* stats) {
  const int32_t first = int32_t(int64_t(slot) * job.height * job.width);
  const float* queries = space.queries + int64_t(i) * job.channels * kQueryStride;
  TopK best[2];
  for (int tile = 0; tile < tiles; ++tile) {
    const int64_t offset = int64_t(i + tile) * job.topk * kLanes;
    best[tile] = {space.scores + offset, space.positions + offset, job.topk};
  }
  KeyList lists[kLists];
  list_window(job, space.places + i, tiles, space, lists);
  const auto keys = [&](int list) {
    return WindowKeys{job.keys[slot], job.channels, first, lists[list], lists[list].count};
  };
  if (kMostTiles == 2) score_list<kMostTiles>(keys(kShared), queries, job.channels, best);
  score_list<1>(keys(kFirstOnly), queries, job.channels, best);
  if (tiles == 2) score_list<1>(keys(kSecondOnly), queries + kLanes, job.channels, best + 1);
  stats[FGVC_STAT_PAIRS] +=
      int64_t(2 * lists[kShared].count + lists[kFirstOnly].count + lists[kSecondOnly].count) * kLanes;
}

static void match_exact(const MatchJob& job, int group, void* workspace, int64_t* stats) {
  Carver carver = {static_cast<char*>(workspace), 0};
  const ExactSpace space = carve_exact(job, carver);
  const int count = place_group(job, group, space.places);
  const auto best_of = [&](int tile) {
    const int64_t offset = int64_t(tile) * job.topk * kLanes;
    return TopK{space.scores + offset, space.positions + offset, job.topk};
  };
  for (int i = 0, tiles; i < count; i += tiles) {
    tiles = pair_at(job, space.places, i, count);
    for (int tile = 0; tile < tiles; ++tile) {
      float* const queries = space.queries + int64_t(i) * job.channels * kQueryStride + tile * kLanes;
      transpose_tile(job, space.places[i + tile], job.query, job.channels, kQueryStride, queries);
      clear(best_of(i + tile), space.places[i + tile].live);
    }
  }
  for (int slot = job.n_keys - 1; slot >= 0; --slot)
    for (int i = 0, tiles; i < count; i += tiles) {
      tiles = pair_at(job, space.places, i, count);
      scan_exact(job, space, i, tiles, slot, stats);
    }
  for (int i = 0; i < count; ++i) write_tile(job, space.places[i], best_of(i));
}
