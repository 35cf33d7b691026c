// Geometry of a tile of 16 query pixels and its window of keys.  Shared by all instruction sets, compiled once.
#pragma once
#include <vector>

#include "job.h"

namespace fgvc {

// Owns the tables that Window points into.
class WindowTables {
 public:
  // `runs_cost` true: choose the tile shape that needs fewest runs of 16 keys; false: fewest keys.
  WindowTables(int height, int width, bool circle, double radius, bool runs_cost);
  Window view() const;
  int max_runs() const;

 private:
  struct Shape {
    int w, h;
  };
  bool contains(int dx, int dy) const;
  int half_width(int dy) const;
  void row_extent(const Shape& shape, int row_offset, int* first, int* last) const;
  int64_t cost(const Shape& shape, bool runs_cost) const;
  void fill(const Shape& shape);

  int height_, width_;
  bool circle_;
  double radius_;
  int reach_x_, reach_y_;
  Shape shape_;
  int pitch_ = 0;
  std::vector<uint16_t> masks_;
  std::vector<int16_t> first_, last_;
};

}  // namespace fgvc
