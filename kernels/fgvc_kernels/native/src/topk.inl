// Sorted lists of the best keys, one list per lane.  Included inside the namespace of an instruction set.

// scores[rank][lane] falls with rank; a lane whose kth score is +inf takes nothing more (lanes without a query).
struct TopK {
  float* scores;       // [k][16]
  int32_t* positions;  // [k][16]; null: scores only
  int k;
};

static inline Lanes worst(const TopK& list) { return load(list.scores + (list.k - 1) * kLanes); }

static inline void clear(const TopK& list, unsigned live) {
  const Lanes infinity = broadcast(__builtin_inff());
  const Lanes start = select(mask_of(live), subtract(broadcast(0), infinity), infinity);
  for (int rank = 0; rank < list.k; ++rank) {
    store(list.scores + rank * kLanes, start);
    if (list.positions) store_ints(list.positions + rank * kLanes, broadcast_int(0));
  }
}

// Sinks `score` into place; a lane that must not change holds -inf.
static inline void insert(const TopK& list, Lanes score, int32_t position) {
  Ints where = broadcast_int(position);
  for (int rank = 0; rank < list.k; ++rank) {
    float* const here = list.scores + rank * kLanes;
    const Lanes old = load(here);
    const Mask better = greater(score, old);
    store(here, select(better, score, old));
    score = select(better, old, score);
    int32_t* const there = list.positions + rank * kLanes;
    const Ints before = load_ints(there);
    store_ints(there, select_ints(better, where, before));
    where = select_ints(better, before, where);
  }
}

static inline void insert_scores(const TopK& list, Lanes score) {
  for (int rank = 0; rank < list.k; ++rank) {
    float* const here = list.scores + rank * kLanes;
    const Lanes old = load(here);
    const Mask better = greater(score, old);
    store(here, select(better, score, old));
    score = select(better, old, score);
  }
}

static inline Lanes only(unsigned lanes, Lanes score) {
  return select(mask_of(lanes), score, broadcast(-__builtin_inff()));
}

// Offers one key's scores to the lanes in `mask`; NaN and infinities are never taken.
static inline void offer(const TopK& list, const float* scores, unsigned mask, int32_t position) {
  const Lanes score = load(scores);
  unsigned taken = bits(greater(score, worst(list))) & mask;
  if (__builtin_expect(taken == 0, 1)) return;
  taken &= bits(greater(broadcast(__builtin_inff()), score));
  if (taken) insert(list, only(taken, score), position);
}
