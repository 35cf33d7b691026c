"""The propagation step as one ONNX graph of standard operators, in ONNX's own text form; every size is open.

Only the graph lives here; `propagation_target.py` gives it a bundle's settings and checks what it computes.

Tiles of 8 x 8 queries are matched to the window of keys they can reach, so nothing of size (H*W, H*W) exists.  A tile
costs one matrix product over all key frames, an addition of 0 or -inf (outside the window) and one TopK.  Whatever
needs no features (which tile, which window, how many keys) is computed for all tiles before the loop: in ONNX Runtime
an operator on three integers costs as much as one on thousands.
"""

from __future__ import annotations

from typing import Final

# Opset 18 is the first whose Pad takes axes; runtimes older than ONNX 1.13 (2022) cannot read the graph.
# `2` ends the name of a pair (rows, columns), `_n` of something that has one row for every tile searched.
TEXT: Final = """
<ir_version: 8, opset_import: ["" : 18]>
propagation (
  float[H, W, C] query, float[T, H, W, C] keys, float[T, H, W, P] labels,
  double radius, bool square, int64[1] topk, float temperature, bool[active_rows, active_columns] active
) => (float[H, W, P] new_labels, float[H, W, k] scores, int32[H, W, k] positions)
<
  double radius = {15.0}, bool square = {0}, int64[1] topk = {10}, float temperature = {0.07},
  bool[1, 1] active = {1}, bool always = {1},
  int64 zero = {0}, int64 one = {1}, int64 side = {8}, int64 chunk = {512}, float keep = {0.0}, float drop = {-inf},
  int64[1] at0 = {0}, int64[1] at1 = {1}, int64[1] at2 = {2}, int64[1] rest = {-1}, int64[1] tile_size = {64},
  int64[2] at01 = {0, 1}, int64[2] at02 = {0, 2}, int64[2] at12 = {1, 2}, int64[2] at13 = {1, 3},
  int64[2] at23 = {2, 3}, int64[2] zeros2 = {0, 0}, int64[2] tile2 = {8, 8}, int64[2] tile_rows = {64, -1},
  int64[3] mask_rows = {64, 1, -1}, int64[4] interleaved = {0, 2, 1, 3},
  int64[8] plan_parts = {2, 2, 2, 2, 2, 2, 1, 1}
>
{
  # Sizes.  The map is enlarged to whole tiles; the surplus is cut off at the end.
  size2 = Shape <start = 0, end = 2> (query)
  W = Shape <start = 1, end = 2> (query)
  C = Shape <start = 2, end = 3> (query)
  T = Shape <start = 0, end = 1> (keys)
  P = Shape <start = 3, end = 4> (labels)
  HW = ReduceProd (size2)
  THW = Mul (T, HW)
  last2 = Sub (tile2, one)
  reaching2 = Add (size2, last2)
  count2 = Div (reaching2, tile2)
  tiles = ReduceProd (count2)
  whole2 = Mul (count2, tile2)
  surplus2 = Sub (whole2, size2)
  pads = Concat <axis = 0> (zeros2, surplus2)
  feature_rows = Concat <axis = 0> (rest, C)
  by_frame = Concat <axis = 0> (tile_size, T, rest)

  # How far a window reaches along one axis: < radius for a circle, <= radius for a square, never beyond the map.
  one_double = CastLike (one, radius)
  ceiling = Ceil (radius)
  circle_reach = Sub (ceiling, one_double)
  square_reach = Floor (radius)
  asked_reach = Where (square, square_reach, circle_reach)
  longest = ReduceMax <keepdims = 0> (size2)
  longest_double = CastLike (longest, radius)
  bounded_reach = Min (asked_reach, longest_double)
  reach = CastLike (bounded_reach, one)

  # 0 for keys in the window and -inf for others: [8, 8, 8 + 2 reach, 8 + 2 reach], keys from a tile's corner - reach.
  span = Add (reach, reach)
  extent = Add (side, span)
  query_index = Range (zero, side, one)
  key_index = Range (zero, extent, one)
  key_offset = Sub (key_index, reach)
  query_column = Unsqueeze (query_index, at1)
  offset = Sub (key_offset, query_column)
  distance = CastLike (offset, radius)
  dy = Unsqueeze (distance, at13)
  dx = Unsqueeze (distance, at02)
  dy_squared = Mul (dy, dy)
  dx_squared = Mul (dx, dx)
  squared = Add (dy_squared, dx_squared)
  radius_squared = Mul (radius, radius)
  in_circle = Less (squared, radius_squared)
  dy_length = Abs (dy)
  dx_length = Abs (dx)
  farther = Max (dy_length, dx_length)
  in_square = LessOrEqual (farther, radius)
  # Where has no kernel for booleans in ONNX Runtime.
  round = Not (square)
  in_round = And (round, in_circle)
  in_angular = And (square, in_square)
  in_window = Or (in_round, in_angular)
  window_mask = Where (in_window, keep, drop)

  # The tiles with an active query; the first tile always, because a loop of no turns has no shape.
  active_map = Expand (active, size2)
  active_column = Unsqueeze (active_map, at2)
  active_int = Cast <to = 6> (active_map)
  active_whole = Pad (active_int, pads, , at01)
  split_sizes = Concat <axis = 0> (count2, tile2)
  split_shape = Gather (split_sizes, interleaved)
  active_split = Reshape (active_whole, split_shape)
  active_tiles = ReduceMax <keepdims = 0> (active_split, at13)
  active_row = Reshape (active_tiles, rest)
  wanted = Cast <to = 9> (active_row)
  last_tile = Squeeze (tiles)
  tile_index = Range (zero, last_tile, one)
  is_first = Equal (tile_index, zero)
  searched = Or (wanted, is_first)
  searched_1n = NonZero (searched)
  tile_n = Squeeze (searched_1n, at0)
  tile_column_n = Unsqueeze (tile_n, at1)

  # For every tile searched: its corners, those of its key window and of its part of the mask, keys found and missing.
  tiles_across = Gather (count2, one)
  tile_y_n = Div (tile_column_n, tiles_across)
  tile_x_n = Mod (tile_column_n, tiles_across)
  tile_yx_n = Concat <axis = 1> (tile_y_n, tile_x_n)
  start_n = Mul (tile_yx_n, tile2)
  end_n = Add (start_n, tile2)
  from_n = Sub (start_n, reach)
  to_n = Add (end_n, reach)
  low_n = Max (from_n, zero)
  high_n = Min (to_n, size2)
  mask_low_n = Sub (low_n, from_n)
  mask_high_n = Sub (high_n, from_n)
  window_n = Sub (high_n, low_n)
  keys_n = ReduceProd (window_n, at1)
  offered_n = Mul (keys_n, T)
  found_n = Min (offered_n, topk)
  missing_n = Sub (topk, found_n)
  plan_n = Concat <axis = 1> (start_n, end_n, low_n, high_n, mask_low_n, mask_high_n, found_n, missing_n)

  # Top-k of each tile over all key frames jointly: scores and places in its window, [N, 64, k].
  query_whole = Pad (query, pads, , at01)
  turns = Size (tile_n)
  best_n, place_n = Loop <body = search (int64 turn, bool more) => (bool again, float[q, k] best, int64[q, k] place) {
    again = Identity (more)
    plan = Gather (plan_n, turn)
    start, end, low, high, mask_low, mask_high, found, missing = Split <axis = 0> (plan, plan_parts)
    query_tile = Slice (query_whole, start, end, at01)
    query_rows = Reshape (query_tile, feature_rows)
    query_columns = Transpose <perm = [1, 0]> (query_rows)
    window = Slice (keys, low, high, at12)
    key_rows = Reshape (window, feature_rows)
    by_key = MatMul (key_rows, query_columns)
    by_query = Transpose <perm = [1, 0]> (by_key)
    frames = Reshape (by_query, by_frame)
    mask_part = Slice (window_mask, mask_low, mask_high, at23)
    mask = Reshape (mask_part, mask_rows)
    masked = Add (frames, mask)
    candidates = Reshape (masked, tile_rows)
    best_found, place_found = TopK <axis = 1> (candidates, found)
    fill = Concat <axis = 0> (at0, missing)
    best = Pad (best_found, fill, drop, at1)
    place = Pad (place_found, fill, , at1)
  }> (turns, always)

  # From places in windows to positions slot * H*W + y * W + x, 0 where there is no key.
  key_count_n = Unsqueeze (keys_n, at1)
  slot_n = Div (place_n, key_count_n)
  pixel_n = Mod (place_n, key_count_n)
  low_pair_n = Unsqueeze (low_n, at1)
  window_pair_n = Unsqueeze (window_n, at1)
  low_y_n, low_x_n = Split <axis = 2, num_outputs = 2> (low_pair_n)
  rows_n, columns_n = Split <axis = 2, num_outputs = 2> (window_pair_n)
  row_n = Div (pixel_n, columns_n)
  column_n = Mod (pixel_n, columns_n)
  y_n = Add (row_n, low_y_n)
  x_n = Add (column_n, low_x_n)
  slot_start_n = Mul (slot_n, HW)
  row_start_n = Mul (y_n, W)
  line_n = Add (slot_start_n, row_start_n)
  key_n = Add (line_n, x_n)
  empty_n = IsInf (best_n)
  position_n = Where (empty_n, zero, key_n)

  # From tiles back to the map; tiles not searched have no keys.
  tiled_shape = Concat <axis = 0> (tiles, tile_size, topk)
  no_scores = Expand (drop, tiled_shape)
  no_positions = Expand (zero, tiled_shape)
  scores_tiled = ScatterND (no_scores, tile_column_n, best_n)
  positions_tiled = ScatterND (no_positions, tile_column_n, position_n)
  split_topk = Concat <axis = 0> (count2, tile2, topk)
  whole_topk = Concat <axis = 0> (whole2, topk)
  scores_split = Reshape (scores_tiled, split_topk)
  positions_split = Reshape (positions_tiled, split_topk)
  scores_joined = Transpose <perm = [0, 2, 1, 3, 4]> (scores_split)
  positions_joined = Transpose <perm = [0, 2, 1, 3, 4]> (positions_split)
  scores_whole = Reshape (scores_joined, whole_topk)
  positions_whole = Reshape (positions_joined, whole_topk)
  scores_map = Slice (scores_whole, zeros2, size2, at01)
  positions_map = Slice (positions_whole, zeros2, size2, at01)
  scores = Where (active_column, scores_map, drop)
  key_map = Where (active_column, positions_map, zero)
  positions = Cast <to = 6> (key_map)

  # Softmax over the k best, then labels by weight: 512 pixels at a time, so that [H*W, k, P] does not exist either.
  defined = Where (active_column, scores_map, keep)
  logits = Div (defined, temperature)
  shares = Softmax <axis = 2> (logits)
  weights_map = Where (active_column, shares, keep)
  weight_shape = Concat <axis = 0> (rest, at1, topk)
  index_shape = Concat <axis = 0> (rest, topk)
  weights = Reshape (weights_map, weight_shape)
  indices = Reshape (key_map, index_shape)
  last_of_chunk = Sub (chunk, one)
  reaching = Add (HW, last_of_chunk)
  chunks = Div (reaching, chunk)
  whole_chunks = Mul (chunks, chunk)
  beyond = Sub (whole_chunks, HW)
  chunk_pads = Concat <axis = 0> (at0, beyond)
  weights_whole = Pad (weights, chunk_pads, , at0)
  indices_whole = Pad (indices, chunk_pads, , at0)
  table_shape = Concat <axis = 0> (THW, P)
  table = Reshape <allowzero = 1> (labels, table_shape)
  carried = Loop <body = carry (int64 turn_, bool more_) => (bool again_, float[r, p] sums) {
    again_ = Identity (more_)
    first = Mul (turn_, chunk)
    first1 = Reshape (first, rest)
    last1 = Add (first1, chunk)
    weights_part = Slice (weights_whole, first1, last1, at0)
    indices_part = Slice (indices_whole, first1, last1, at0)
    gathered = Gather (table, indices_part)
    summed = MatMul (weights_part, gathered)
    sums = Squeeze (summed, at1)
  }> (chunks, always)
  carried_shape = Concat <axis = 0> (whole_chunks, P)
  label_shape = Concat <axis = 0> (size2, P)
  carried_rows = Reshape <allowzero = 1> (carried, carried_shape)
  label_rows = Slice (carried_rows, at0, HW, at0)
  new_labels = Reshape <allowzero = 1> (label_rows, label_shape)
}
"""
