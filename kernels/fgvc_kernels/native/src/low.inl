// What a bf16 engine (low_*.inl) scores at a time.  Included inside an ISA namespace.
//
// An engine defines engine_begin and engine_end (once per group of tiles), begin_block (start the products of a block)
// and end_block (write its sums, [kBlockRuns][kRun][16] float).  Between the two the previous block is screened.

constexpr int kBlockRuns = 4;

struct BlockInput {
  const uint16_t* queries;           // [channels / 2][16][2]
  const uint16_t* keys[kBlockRuns];  // runs of kRun rows, `channels` apart
  int channels;                      // multiple of 32
};
