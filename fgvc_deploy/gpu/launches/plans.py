"""How each kernel is launched: its grid from shapes and constants, its arguments by name.

Nothing here touches a GPU.  Tests hold the grids against the launchers of `fgvc_kernels.triton`.
"""

from __future__ import annotations

from fgvc_deploy.gpu.cubins.kernel_set import Kernel
from fgvc_deploy.gpu.cubins.packing import pack
from fgvc_deploy.gpu.device.driver import Grid
from fgvc_deploy.gpu.stream.steps import Launch

MAX_BLOCKS_Y = 65535


def blocks(count: int, per_block: int) -> int:
    """Blocks needed for `count` things."""
    return -(-count // per_block)


def local_topk_grid(hw: tuple[int, int], splits: int, tile: tuple[int, int]) -> Grid:
    """One program for each tile of queries (rows, columns) and each split of the key frames."""
    return Grid(blocks(hw[0], tile[0]) * blocks(hw[1], tile[1]), splits)


def propagate_grid(pixels: int, channels: int, tile: tuple[int, int]) -> Grid:
    """One program for each `tile` of (pixels, channels)."""
    return Grid(blocks(pixels, tile[0]), blocks(channels, tile[1]))


def tile_of(kernel: Kernel) -> tuple[int, int]:
    """Rows and columns of queries that a block of `local_topk` takes."""
    return kernel.constant("TILE_Y"), kernel.constant("TILE_X")


def match(
    kernel: Kernel,
    *,
    query: int,
    keys: int,
    slots: int,
    frames: int,
    frames_per_split: int,
    offsets: int,
    blocks: int,
    limit: int,
    hw: tuple[int, int],
    positions: int,
    values: int,
) -> Launch:
    """Best keys of `query` among the frames that the table `slots` names, a list for each split.

    `offsets` is the window's table of `blocks` blocks; positions int32 and values fp32 are [splits, H*W, k].
    """
    splits = -(-frames // frames_per_split)
    arguments = {
        "query": query,
        "keys": keys,
        "slots": slots,
        "offsets": offsets,
        "height": hw[0],
        "width": hw[1],
        "frames": frames,
        "frames_per_split": frames_per_split,
        "blocks": blocks,
        "limit": limit,
        "positions": positions,
        "values": values,
    }
    return Launch(kernel, local_topk_grid(hw, splits, tile_of(kernel)), pack(kernel.metadata, arguments))


def pool_cells_grid(hw: tuple[int, int], scale: int, per_block: int) -> Grid:
    """One program for each `per_block` cells."""
    return Grid(blocks(blocks(hw[0], scale) * blocks(hw[1], scale), per_block))


def pool_cells(kernel: Kernel, *, features: int, hw: tuple[int, int], out: int) -> Launch:
    """Pooled unit features [cells, C] at `out` from unit features [H*W, C]."""
    grid = pool_cells_grid(hw, kernel.constant("SCALE"), kernel.constant("CELLS"))
    arguments = {"features": features, "height": hw[0], "width": hw[1], "out": out}
    return Launch(kernel, grid, pack(kernel.metadata, arguments))


def refine_grid(hw: tuple[int, int], splits: int, scale: int) -> Grid:
    """One program for each cell of queries and each split of the key frames."""
    return Grid(blocks(hw[0], scale) * blocks(hw[1], scale), splits)


def refine(
    kernel: Kernel,
    *,
    query: int,
    keys: int,
    slots: int,
    matched: int,
    frames: int,
    frames_per_split: int,
    hw: tuple[int, int],
    positions: int,
    values: int,
) -> Launch:
    """As `match`, around the coarse matches int32 [frames, cells] at `matched`."""
    arguments = {
        "query": query,
        "keys": keys,
        "slots": slots,
        "matched": matched,
        "height": hw[0],
        "width": hw[1],
        "frames": frames,
        "frames_per_split": frames_per_split,
        "positions": positions,
        "values": values,
    }
    splits = -(-frames // frames_per_split)
    return Launch(kernel, refine_grid(hw, splits, kernel.constant("SCALE")), pack(kernel.metadata, arguments))


def propagate(
    kernel: Kernel,
    *,
    positions: int,
    weights: int,
    labels: int,
    slots: int,
    pixels: int,
    channels: int,
    out: int,
) -> Launch:
    """Labels of a frame, [pixels, channels], from its matches and the label maps that the table `slots` names."""
    arguments = {
        "positions": positions,
        "weights": weights,
        "labels": labels,
        "slots": slots,
        "pixels": pixels,
        "channels": channels,
        "out": out,
    }
    tile = kernel.constant("PIXELS"), kernel.constant("CHANNELS")
    return Launch(kernel, propagate_grid(pixels, channels, tile), pack(kernel.metadata, arguments))


def merge_grid(pixels: int, rows: int) -> Grid:
    """One program for each `rows` pixels."""
    return Grid(blocks(pixels, rows))


def merge(
    kernel: Kernel,
    *,
    list_positions: int,
    list_scores: int,
    lists: int,
    count: int,
    pixels: int,
    positions: int,
    values: int,
) -> Launch:
    """Joint matches of the `count` single-frame lists that the table `lists` names; list i becomes key frame i."""
    arguments = {
        "list_positions": list_positions,
        "list_scores": list_scores,
        "lists": lists,
        "pixels": pixels,
        "count": count,
        "positions": positions,
        "values": values,
    }
    return Launch(kernel, merge_grid(pixels, kernel.constant("ROWS")), pack(kernel.metadata, arguments))


def normalise_grid(pixels: int, per_block: int) -> Grid:
    """One program for each `per_block` pixels."""
    return Grid(blocks(pixels, per_block))


def normalise(kernel: Kernel, *, features: int, pixels: int, out: int) -> Launch:
    """Unit features [pixels, C] at `out` from an encoder's output [C, pixels]."""
    arguments = {"features": features, "pixels": pixels, "out": out}
    return Launch(kernel, normalise_grid(pixels, kernel.constant("PIXELS")), pack(kernel.metadata, arguments))
