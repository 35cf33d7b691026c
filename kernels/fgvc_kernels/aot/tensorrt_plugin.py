"""The TensorRT plugin `fgvc::local_topk`: registers the PTX that lies beside this file, for building engines.

This file is shipped in the bundle as it is, so it imports nothing but TensorRT (10.7 or newer, `tensorrt.plugin`) and
the standard library.  Copy the folder, then, before the network is built or parsed:

    import local_topk_plugin
    local_topk_plugin.register()

Engines built after that contain the kernel; to run them neither this file nor Python is needed.  Not run: no GPU was
at hand when it was written.  A kernel above 48 KB of shared memory (`shared_bytes` in local_topk.json; with 256
channels on sm_100, sm_103 and sm_110) needs a TensorRT that asks the driver for it, which NVIDIA's documentation
leaves open: check that first.

Inputs: query fp16 or bf16 [H, W, C] and keys [T, H, W, C] of the same type, unit vectors; slots int32 [T], the order
in which the key frames are numbered (usually 0..T-1); offsets int32, the table of the window (`window_offsets.npy`).
Attribute `limit`: ceil(r^2) for a circle of radius r (a key is allowed when dx^2 + dy^2 is below it), floor(r) + 1
for a square.
Outputs: positions int32 [H, W, k], t * H*W + y * W + x, best first; weights fp32 [H, W, k].
"""

import importlib
import json
from pathlib import Path
from typing import Any

PLUGIN = "fgvc::local_topk"
FILE = "local_topk"
_DATA_TYPES = {"*fp16": "FP16", "*bf16": "BF16", "*fp32": "FP32", "*i32": "INT32"}


def register(folder: str | Path | None = None) -> None:
    """Register the plugin with TensorRT in this process; `folder` holds local_topk.ptx and .json, default: here.

    Raises ImportError when TensorRT or its module `plugin` is missing.
    """
    place = Path(folder) if folder is not None else Path(__file__).parent
    facts = json.loads((place / f"{FILE}.json").read_text(encoding="utf-8"))
    ptx = (place / f"{FILE}.ptx").read_bytes()
    trt, plugin = _tensorrt()

    def describe(query: Any, keys: Any, slots: Any, offsets: Any, limit: int) -> Any:
        height, width, _ = query.shape_expr
        shape = (height, width, facts["constexprs"]["K"])
        return plugin.from_shape_expr(shape, trt.int32), plugin.from_shape_expr(shape, trt.float32)

    def formats(query: Any, keys: Any, slots: Any, offsets: Any, limit: int, outputs: Any) -> Any:
        pointers = [param["type"] for param in facts["params"] if param["type"].startswith("*")]
        return [plugin.AutoTuneCombination(", ".join(_DATA_TYPES[kind] for kind in pointers), "LINEAR")]

    def implement(query: Any, keys: Any, slots: Any, offsets: Any, limit: int, outputs: Any, tactic: int) -> Any:
        sizes = launch_sizes(facts, query.shape_expr, slots.shape_expr, offsets.shape_expr, limit, plugin.cdiv)
        launch = plugin.KernelLaunchParams()
        launch.grid_x = sizes["grid_x"]
        launch.block_x = 32 * facts["num_warps"]
        launch.shared_mem = facts["shared_bytes"]
        names = [param["name"] for param in facts["params"] if param["type"] == "i32"]
        scalars = plugin.SymIntExprs(len(names))
        for index, name in enumerate(names):
            scalars[index] = plugin.SymInt32(sizes[name])
        return facts["symbol"].encode(), ptx, launch, scalars

    tensors = dict.fromkeys(("query", "keys", "slots", "offsets"), plugin.TensorDesc)
    # TensorRT reads the schema from the annotations of this function.
    both: Any = (plugin.TensorDesc, plugin.TensorDesc)
    describe.__annotations__ = {**tensors, "limit": int, "return": tuple[both]}
    formats.__annotations__ = implement.__annotations__ = {}
    plugin.register(PLUGIN)(describe)
    plugin.autotune(PLUGIN)(formats)
    plugin.aot_impl(PLUGIN)(implement)


def launch_sizes(facts: Any, query: Any, slots: Any, offsets: Any, limit: int, ceil_div: Any) -> dict[str, Any]:
    """Blocks of the launch and the kernel's integers by name, from shapes [H, W, C], [T] and [blocks * BLOCK].

    Sizes may be TensorRT's symbols; `ceil_div(a, b)` divides them, rounding up.
    """
    constants = facts["constexprs"]
    height, width, _ = query
    (frames,), (listed,) = slots, offsets
    return {
        "grid_x": ceil_div(height, constants["TILE_Y"]) * ceil_div(width, constants["TILE_X"]),
        "height": height,
        "width": width,
        "frames": frames,
        "frames_per_split": frames,
        "blocks": ceil_div(listed, constants["BLOCK"]),
        "limit": limit,
    }


def _tensorrt() -> tuple[Any, Any]:
    try:
        return importlib.import_module("tensorrt"), importlib.import_module("tensorrt.plugin")
    except ImportError as error:
        raise ImportError(
            "The plugin fgvc::local_topk needs TensorRT 10.7 or newer with its Python bindings; "
            "run `pip install tensorrt` where the engine is built."
        ) from error
