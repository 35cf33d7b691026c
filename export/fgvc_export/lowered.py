"""The encoder's ONNX file in each precision that GPUs take, made once for all targets that start from it."""

from __future__ import annotations

import onnx

from fgvc_deploy.errors import ParityError
from fgvc_export.onnx_fp32 import fp32_file
from fgvc_export.precision.recipe import Mixed, Recipes
from fgvc_export.targets import Source

# A fifth of the arithmetic at twice the speed of fp16 saves a tenth of the time at best.
USEFUL_SHARE = 0.2


def gpu_file(source: Source) -> bytes:
    """The ONNX file in the source's precision: fp32, fp16 with fp32 islands, or int8 by Q/DQ with both.

    Input and output are float32 in all of them, as in the fp32 file.
    """
    name = f"onnx for GPUs in {source.precision}"
    if name not in source.shared:
        source.shared[name] = fp32_file(source) if source.precision == "fp32" else _lowered(source)
    return bytes(source.shared[name])


def _lowered(source: Source) -> bytes:
    recipes = _recipes(source)
    mixed: Mixed = recipes.half() if source.precision == "fp16" else recipes.int8()
    if source.precision == "int8" and mixed.share < USEFUL_SHARE:
        raise ParityError(
            f"Only {mixed.share:.0%} of this encoder's multiply-adds can be int8 without changing its matches on the "
            f"parity clip, which is not worth a file (at least {USEFUL_SHARE:.0%} is); export fp16 instead; "
            "no bundle was written."
        )
    onnx.checker.check_model(mixed.model, full_check=True)
    return mixed.content()


def _recipes(source: Source) -> Recipes:
    if "recipes" not in source.shared:
        source.shared["recipes"] = Recipes(
            onnx.load_from_string(fp32_file(source)), source.frames(), source.propagation.topk
        )
    recipes: Recipes = source.shared["recipes"]
    return recipes
