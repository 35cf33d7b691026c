"""The two recipes: an fp32 encoder and frames in, an fp16 or a mixed int8 encoder out, with what was kept wider.

How much a recipe may lose stands here; whether the result tracks well enough is for the parity gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnx import ModelProto, helper

from fgvc_deploy.encoders.base import Float32Array
from fgvc_export.precision.calibration import METHODS, magnitudes
from fgvc_export.precision.half import to_half
from fgvc_export.precision.islands import islands
from fgvc_export.precision.layers import Layer, layers
from fgvc_export.precision.observe import values
from fgvc_export.precision.qdq import with_qdq
from fgvc_export.precision.rounding import rounded
from fgvc_export.precision.sensitivity import Judge, alone, cropped, kept

# Mean of 1 - cosine that the lowered layers may cost together, chosen with EfficientNet-lite0 on a clip of streets
# (docs/engines.md).  fp16: 1e-6 leaves one point 8.3 px from its track, 5e-7 leaves it 6.4 px, and less makes no
# difference: rounding nothing but the finished features moves it 6.6 px.  int8: all layers at once cost 8e-4.
TARGET_LOSS = {"fp16": 5e-7, "int8": 5e-5}
JUDGED_FRAMES = 2


@dataclass(frozen=True, slots=True)
class Mixed:
    """An encoder in mixed precision, and which of its layers compute in what; `calibration` is empty without int8."""

    model: ModelProto
    in_fp32: tuple[str, ...]
    in_int8: tuple[str, ...] = ()
    calibration: str = ""

    def content(self) -> bytes:
        """The file, with the choice of layers in its metadata."""
        said = {prop.key: prop.value for prop in self.model.metadata_props}
        said |= {"layers in fp32": ", ".join(self.in_fp32)}
        if self.calibration:
            said |= {"layers in int8": ", ".join(self.in_int8), "calibration": self.calibration}
        helper.set_model_props(self.model, dict(sorted(said.items())))
        return bytes(self.model.SerializeToString(deterministic=True))


class Recipes:
    """Both recipes for one encoder; the choice of fp32 islands, which both start from, is made once."""

    def __init__(self, model: ModelProto, frames: Sequence[Float32Array]) -> None:
        self._model, self._layers = model, layers(model)
        self._frames = [cropped(frame) for frame in frames]
        self._judge = Judge(model, self._frames[:: max(1, len(frames) - 1)][:JUDGED_FRAMES])
        self._islands = islands(model, self._frames)
        self._inputs = {node.name: node.input[0] for node in model.graph.node}
        candidates = [layer for layer in self._layers if not layer.nodes & self._islands]
        by_loss = alone(candidates, self._half_loss)
        stay = kept(by_loss, self._half_loss, TARGET_LOSS["fp16"])
        self._wide = frozenset(self._layers) - (frozenset(candidates) - stay)

    def half(self) -> Mixed:
        """fp16, with the layers that lose most, and what would overflow or vanish, in fp32."""
        return Mixed(to_half(self._model, self._in_fp32(self._wide)), self._titles(self._wide))

    def int8(self) -> Mixed:
        """int8 in as many convolutions as `TARGET_LOSS` allows; the others as in `half`."""
        candidates = [layer for layer in self._layers if layer not in self._wide]
        ranges = self._ranges(candidates)
        everything = frozenset(candidates)
        method = min(ranges, key=lambda name: self._int8_loss(everything, ranges[name]))

        def loss(lowered: frozenset[Layer]) -> float:
            return self._int8_loss(lowered, ranges[method])

        lowered = everything - kept(alone(candidates, loss), loss, TARGET_LOSS["int8"])
        model = self._quantised(lowered, ranges[method])
        return Mixed(model, self._titles(self._wide), self._titles(lowered), method)

    def _half_loss(self, lowered: frozenset[Layer]) -> float:
        return self._judge.loss(rounded(to_half(self._model, self._in_fp32(frozenset(self._layers) - lowered))))

    def _int8_loss(self, lowered: frozenset[Layer], ranges: Mapping[str, float]) -> float:
        return self._judge.loss(rounded(self._quantised(lowered, ranges)))

    def _quantised(self, lowered: frozenset[Layer], ranges: Mapping[str, float]) -> ModelProto:
        chosen = {layer.conv: ranges[self._inputs[layer.conv]] for layer in lowered}
        return to_half(with_qdq(self._model, chosen), self._in_fp32(self._wide))

    def _ranges(self, candidates: Sequence[Layer]) -> dict[str, dict[str, float]]:
        """For each method the range of every tensor that a candidate reads."""
        names = sorted({self._inputs[layer.conv] for layer in candidates})
        seen = {name: magnitudes(arrays) for name, arrays in values(self._model, names, self._frames)}
        return {
            method: {name: choose(*histogram) for name, histogram in seen.items()}
            for method, choose in METHODS.items()
        }

    def _in_fp32(self, wide: frozenset[Layer]) -> frozenset[str]:
        return self._islands.union(*(layer.nodes for layer in wide))

    def _titles(self, chosen: frozenset[Layer]) -> tuple[str, ...]:
        return tuple(layer.title for layer in self._layers if layer in chosen)
