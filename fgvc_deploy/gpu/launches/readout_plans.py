"""How the read-out kernels are launched: grids and arguments, as `plans.py` has them for the other kernels."""

from __future__ import annotations

from typing import NamedTuple

from fgvc_deploy.gpu.cubins.kernel_set import Kernel
from fgvc_deploy.gpu.cubins.packing import pack
from fgvc_deploy.gpu.device.driver import Grid
from fgvc_deploy.gpu.launches.plans import blocks
from fgvc_deploy.gpu.stream.steps import Launch


class DeviceMaps(NamedTuple):
    """Label maps of a frame on the device: [h*w, maps] at `address`, of which the first `used` mean something."""

    address: int
    hw: tuple[int, int]
    maps: int
    used: int


class DeviceTaps(NamedTuple):
    """Tables of one axis: where pixels read a label map, `low` [pixels] or `start` [features + 1], and weights."""

    places: int
    weight: int


def units(hw: tuple[int, int], cells: int) -> int:
    """Units of `cells` cells of one feature row that a map has."""
    return hw[0] * blocks(hw[1], cells)


def bounds_grid(hw: tuple[int, int], maps: int, cells: int, channels: int) -> Grid:
    """One program for each unit and each `channels` maps."""
    return Grid(units(hw, cells), blocks(maps, channels))


def mask_tiles(out_hw: tuple[int, int], tile: tuple[int, int]) -> int:
    """Tiles of pixels that a mask is made in."""
    return blocks(out_hw[0], tile[0]) * blocks(out_hw[1], tile[1])


def bounds(kernel: Kernel, source: DeviceMaps, target: int) -> Launch:
    """The largest feature of each unit of each map, fp32 [units, maps]."""
    grid = bounds_grid(source.hw, source.maps, kernel.constant("CELLS"), kernel.constant("CHANNELS"))
    arguments = {
        "labels": source.address,
        "height": source.hw[0],
        "width": source.hw[1],
        "maps": source.maps,
        "bounds": target,
    }
    return Launch(kernel, grid, pack(kernel.metadata, arguments))


def points(
    kernel: Kernel,
    source: DeviceMaps,
    *,
    bounds: int,
    rows: DeviceTaps,
    cols: DeviceTaps,
    out_width: int,
    xy: int,
    peak: int,
) -> Launch:
    """Coordinates fp32 [used, 2] and confidence fp32 [used], one program for each map that means something."""
    arguments = {
        "labels": source.address,
        "bounds": bounds,
        "row_start": rows.places,
        "row_weight": rows.weight,
        "col_start": cols.places,
        "col_weight": cols.weight,
        "height": source.hw[0],
        "width": source.hw[1],
        "out_width": out_width,
        "maps": source.maps,
        "units": units(source.hw, kernel.constant("CELLS")),
        "xy": xy,
        "peak": peak,
    }
    return Launch(kernel, Grid(source.used), pack(kernel.metadata, arguments))


def mass_parts(source: DeviceMaps, kernel: Kernel) -> int:
    """Parts that the pixels of label maps are summed in."""
    return blocks(source.hw[0] * source.hw[1], kernel.constant("PIXELS") * kernel.constant("ROUNDS"))


def mass_grid(pixels: int, maps: int, part: int, channels: int) -> Grid:
    """One program for each `part` pixels and each `channels` maps."""
    return Grid(blocks(pixels, part), blocks(maps, channels))


def label_mass(kernel: Kernel, source: DeviceMaps, partials: int) -> Launch:
    """Sums of label maps in parts, fp32 [parts, maps]."""
    pixels = source.hw[0] * source.hw[1]
    part = kernel.constant("PIXELS") * kernel.constant("ROUNDS")
    grid = mass_grid(pixels, source.maps, part, kernel.constant("CHANNELS"))
    arguments = {"labels": source.address, "pixels": pixels, "maps": source.maps, "partials": partials}
    return Launch(kernel, grid, pack(kernel.metadata, arguments))


def appearance(
    kernel: Kernel,
    *,
    features: int,
    hw: tuple[int, int],
    stride: int,
    count: int,
    partials: tuple[int, int, int],
    xy: int,
    last: int,
    looks: int,
    similarity: int,
    mass: int,
    first: bool,
) -> Launch:
    """How `count` points look at `xy`, fp32 [count] each; `partials` are an address, its maps and its parts.

    With `first` the kernel writes `looks` and no similarity.
    """
    address, maps, parts = partials
    arguments = {
        "features": features,
        "xy": xy,
        "partials": address,
        "height": hw[0],
        "width": hw[1],
        "stride": stride,
        "maps": maps,
        "parts": parts,
        "first": int(first),
        "last": last,
        "looks": looks,
        "similarity": similarity,
        "mass": mass,
    }
    return Launch(kernel, Grid(count), pack(kernel.metadata, arguments))


def mask_ranges(
    kernel: Kernel, source: DeviceMaps, *, rows: DeviceTaps, cols: DeviceTaps, out_hw: tuple[int, int], ranges: int
) -> Launch:
    """Smallest and largest upsampled value of each class in each tile, fp32 [maps, 2, tiles]."""
    tiles = mask_tiles(out_hw, (kernel.constant("TILE_Y"), kernel.constant("TILE_X")))
    arguments = _mask_arguments(source, rows, cols, out_hw) | {"ranges": ranges}
    return Launch(kernel, Grid(tiles, source.maps), pack(kernel.metadata, arguments))


def argmax_masks(
    kernel: Kernel,
    source: DeviceMaps,
    *,
    rows: DeviceTaps,
    cols: DeviceTaps,
    out_hw: tuple[int, int],
    ranges: int,
    ids: int,
    mask: int,
) -> Launch:
    """Object ids uint8 [H, W]."""
    tiles = mask_tiles(out_hw, (kernel.constant("TILE_Y"), kernel.constant("TILE_X")))
    arguments = _mask_arguments(source, rows, cols, out_hw) | {"ranges": ranges, "ids": ids, "mask": mask}
    return Launch(kernel, Grid(tiles), pack(kernel.metadata, arguments))


def _mask_arguments(
    source: DeviceMaps, rows: DeviceTaps, cols: DeviceTaps, out_hw: tuple[int, int]
) -> dict[str, int]:
    return {
        "labels": source.address,
        "row_low": rows.places,
        "row_weight": rows.weight,
        "col_low": cols.places,
        "col_weight": cols.weight,
        "height": source.hw[0],
        "width": source.hw[1],
        "out_height": out_hw[0],
        "out_width": out_hw[1],
        "maps": source.maps,
    }
