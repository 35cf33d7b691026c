// Tile shapes, lane masks and visiting order; no arithmetic on features.
#include "window.h"

#include <algorithm>
#include <cmath>

namespace fgvc {

bool WindowTables::contains(int dx, int dy) const {
  if (!circle_) return std::abs(dx) <= radius_ && std::abs(dy) <= radius_;
  return std::sqrt(double(dx) * dx + double(dy) * dy) < radius_;
}

// Largest |dx| inside the window on row dy, -1 when the row is outside.
int WindowTables::half_width(int dy) const {
  int half = -1;
  while (half < reach_x_ && contains(half + 1, dy)) ++half;
  return half;
}

WindowTables::WindowTables(int height, int width, bool circle, double radius, bool runs_cost)
    : height_(height), width_(width), circle_(circle), radius_(radius), reach_x_(width - 1), reach_y_(height - 1) {
  reach_x_ = half_width(0);
  int down = 0;
  while (down < height - 1 && contains(0, down + 1)) ++down;
  reach_y_ = down;
  const Shape shapes[] = {{4, 4}, {2, 8}, {8, 2}, {1, 16}, {16, 1}};
  shape_ = *std::min_element(std::begin(shapes), std::end(shapes), [&](const Shape& a, const Shape& b) {
    return cost(a, runs_cost) < cost(b, runs_cost);
  });
  fill(shape_);
}

// Columns, relative to the tile, that any lane reaches on a row: lane rows widen by tile width - 1 to the right.
void WindowTables::row_extent(const Shape& shape, int row_offset, int* first, int* last) const {
  int half = -1;
  for (int y = 0; y < shape.h; ++y) {
    const int dy = std::abs(row_offset - y);
    if (dy <= reach_y_) half = std::max(half, half_width(dy));
  }
  *first = -half;
  *last = half < 0 ? -1 : shape.w - 1 + half;
}

// Key rows (or runs) times lanes that one whole map costs with this shape, borders counted as if they were inside.
int64_t WindowTables::cost(const Shape& shape, bool runs_cost) const {
  int64_t per_tile = 0;
  for (int row = -reach_y_; row < shape.h + reach_y_; ++row) {
    int first, last;
    row_extent(shape, row, &first, &last);
    const int keys = std::min(last - first + 1, width_);
    per_tile += runs_cost ? (keys + kRun - 1) / kRun : keys;
  }
  const int64_t tiles = int64_t((width_ + shape.w - 1) / shape.w) * ((height_ + shape.h - 1) / shape.h);
  return tiles * per_tile;
}

void WindowTables::fill(const Shape& shape) {
  const int rows = shape.h + 2 * reach_y_;
  pitch_ = shape.w + 2 * reach_x_;
  masks_.assign(size_t(rows) * pitch_ + kRun, 0);  // a run's masks are read sixteen at a time
  first_.resize(rows);
  last_.resize(rows);
  for (int row = 0; row < rows; ++row) {
    int first, last;
    row_extent(shape, row - reach_y_, &first, &last);
    first_[row] = int16_t(first);
    last_[row] = int16_t(last);
    for (int column = first; column <= last; ++column) {
      unsigned mask = 0;
      for (int lane = 0; lane < kLanes; ++lane)
        if (contains(column - lane % shape.w, row - reach_y_ - lane / shape.w)) mask |= 1u << lane;
      masks_[size_t(row) * pitch_ + column + reach_x_] = uint16_t(mask);
    }
  }
}

Window WindowTables::view() const {
  return {shape_.w, shape_.h, reach_x_, reach_y_, pitch_, masks_.data(), first_.data(), last_.data()};
}

int WindowTables::max_runs() const {
  const int rows = std::min(height_, shape_.h + 2 * reach_y_);
  const int keys = std::min(width_, shape_.w + 2 * reach_x_);
  return rows * ((keys + kRun - 1) / kRun);
}

namespace {

Run plan_row(const MatchJob& job, int x0, int y0, int y) {
  const Window& window = job.window;
  const int row = y - y0 + window.reach_y;
  const int begin = std::max(0, x0 + window.first[row]);
  const int end = std::min(job.width, x0 + window.last[row] + 1);
  const uint16_t* masks = window.masks + int64_t(row) * window.pitch + window.reach_x;
  return {y * job.width + begin, end - begin, masks + (begin - x0)};
}

}  // namespace

int plan_rows(const MatchJob& job, int x0, int y0, Run* rows) {
  const Window& window = job.window;
  Run* next = rows;
  const int bottom = std::min(job.height, y0 + window.tile_h);
  for (int y = y0; y < bottom; ++y) *next++ = plan_row(job, x0, y0, y);
  for (int ring = 1; ring <= window.reach_y; ++ring) {
    const int above = y0 - ring, below = y0 + window.tile_h - 1 + ring;
    if (above >= 0) *next++ = plan_row(job, x0, y0, above);
    if (below < job.height) *next++ = plan_row(job, x0, y0, below);
  }
  return int(next - rows);
}

}  // namespace fgvc
