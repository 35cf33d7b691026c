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

// A lane that must not change holds -inf.  Every rank is computed from the old list, so none waits for another.
static inline void insert(const TopK& list, Lanes score, int32_t position) {
  const Ints where = broadcast_int(position);
  float* scores = list.scores + (list.k - 1) * kLanes;
  int32_t* positions = list.positions + (list.k - 1) * kLanes;
  Lanes old = load(scores);
  Ints old_where = load_ints(positions);
  Mask beaten = greater(score, old);
  for (int rank = list.k - 1; rank > 0; --rank, scores -= kLanes, positions -= kLanes) {
    const Lanes above = load(scores - kLanes);
    const Ints above_where = load_ints(positions - kLanes);
    const Mask above_beaten = greater(score, above);
    store(scores, select(above_beaten, above, select(beaten, score, old)));
    store_ints(positions, select_ints(above_beaten, above_where, select_ints(beaten, where, old_where)));
    old = above;
    old_where = above_where;
    beaten = above_beaten;
  }
  store(scores, select(beaten, score, old));
  store_ints(positions, select_ints(beaten, where, old_where));
}

static inline void insert_scores(const TopK& list, Lanes score) {
  float* scores = list.scores + (list.k - 1) * kLanes;
  Lanes old = load(scores);
  for (int rank = list.k - 1; rank > 0; --rank, scores -= kLanes) {
    const Lanes above = load(scores - kLanes);
    store(scores, larger(old, smaller(above, score)));
    old = above;
  }
  store(scores, larger(old, score));
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
