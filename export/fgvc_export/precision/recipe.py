"""The two recipes: an fp32 encoder and frames in, an fp16 or a mixed int8 encoder out, with what was kept wider.

How much a recipe may lose stands here; whether the result tracks well enough is for the parity gate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from onnx import ModelProto, helper

from fgvc_deploy.encoders.base import Float32Array
from fgvc_export.precision.half import to_half
from fgvc_export.precision.islands import islands
from fgvc_export.precision.layers import Layer, layers, tail
from fgvc_export.precision.quantiser import best_ranges, multiplications, quantised
from fgvc_export.precision.rounding import rounded
from fgvc_export.precision.sensitivity import Judge, alone, cropped, kept

# Share of the best keys that may change (docs/engines.md): with EfficientNet-lite0 on a clip of streets p95 of the
# tracks is within its budget up to .002 in fp16 and .013 in int8, with untrained weights up to half of that.
TARGET_LOSS = {"fp16": 0.001, "int8": 0.005}
# What is between the layers, and storing the features in fp16, changes keys too.  Where that is more than a target,
# so many times as much is the target: with nearly equal keys, as of untrained weights, no layer can mend it.
BEYOND_FLOOR = 1.2


@dataclass(frozen=True, slots=True)
class Mixed:
    """An encoder in mixed precision, and which of its layers compute in what.

    `share` of all multiply-adds are in the lower precision; `calibration` is empty without int8.
    """

    model: ModelProto
    in_fp32: tuple[str, ...]
    share: float
    in_int8: tuple[str, ...] = ()
    calibration: str = ""

    def content(self) -> bytes:
        """The file, with the choice of layers in its metadata."""
        said = {prop.key: prop.value for prop in self.model.metadata_props}
        said |= {"layers in fp32": ", ".join(self.in_fp32)}
        if self.calibration:
            said |= {"layers in int8": ", ".join(self.in_int8), "calibration": self.calibration}
        said[f"share of multiply-adds in {'int8' if self.calibration else 'fp16'}"] = f"{self.share:.2f}"
        helper.set_model_props(self.model, dict(sorted(said.items())))
        return bytes(self.model.SerializeToString(deterministic=True))


class Recipes:
    """Both recipes for one encoder; the choice of fp32 islands, which both start from, is made once.

    `topk` keys of a pixel are what its label is carried from.
    """

    def __init__(self, model: ModelProto, frames: Sequence[Float32Array], topk: int) -> None:
        self._model, self._layers = model, layers(model)
        self._frames = [cropped(frame) for frame in frames]
        self._judge = Judge(model, self._frames, topk)
        self._cost = multiplications(model, self._layers, self._frames[0])
        # Lengths, resizing and joining are no multiply-adds: fp16 would win little there, and every key pays for it.
        self._islands = islands(model, self._frames) | tail(model, self._layers)
        self._floor = BEYOND_FLOOR * self._half_changed(frozenset())
        candidates = [layer for layer in self._layers if not layer.nodes & self._islands]
        stay = kept(alone(candidates, self._half_error), self._half_changed, max(TARGET_LOSS["fp16"], self._floor))
        self._wide = frozenset(self._layers) - (frozenset(candidates) - stay)

    def half(self) -> Mixed:
        """fp16, with the layers that lose most, and what would overflow or vanish, in fp32."""
        lowered = frozenset(self._layers) - self._wide
        return Mixed(to_half(self._model, self._in_fp32(self._wide)), self._titles(self._wide), self._share(lowered))

    def int8(self) -> Mixed:
        """int8 in as much of the arithmetic as `TARGET_LOSS` allows; the rest as in `half`."""
        candidates = [layer for layer in self._layers if layer not in self._wide]
        ranges, errors = best_ranges(self._model, candidates, self._frames, self._judge.error)

        def mixed(lowered: frozenset[Layer]) -> ModelProto:
            int8 = quantised(self._model, {layer: ranges[layer] for layer in self._layers if layer in lowered})
            return to_half(int8, self._in_fp32(self._wide))

        stay = kept(
            self._by_price(errors),
            lambda lowered: self._judge.changed(rounded(mixed(lowered))),
            max(TARGET_LOSS["int8"], self._floor),
        )
        lowered = frozenset(candidates) - stay
        methods = Counter(ranges[layer].method for layer in lowered)
        calibration = ", ".join(f"{name} {count}" for name, count in sorted(methods.items())) or "none"
        return Mixed(
            mixed(lowered), self._titles(self._wide), self._share(lowered), self._titles(lowered), calibration
        )

    def _by_price(self, errors: dict[Layer, float]) -> dict[Layer, float]:
        """Squared error, which adds up over layers, for each multiply-add that it buys; the dearest first."""
        prices = {layer: error**2 / self._cost[layer] for layer, error in errors.items()}
        return dict(sorted(prices.items(), key=lambda item: -item[1]))

    def _half_error(self, lowered: frozenset[Layer]) -> float:
        """With everything but these layers in fp32, also what is between them."""
        others = frozenset(node.name for node in self._model.graph.node).difference(*(one.nodes for one in lowered))
        return self._judge.error(rounded(to_half(self._model, others)))

    def _half_changed(self, lowered: frozenset[Layer]) -> float:
        return self._judge.changed(rounded(to_half(self._model, self._in_fp32(frozenset(self._layers) - lowered))))

    def _share(self, lowered: frozenset[Layer]) -> float:
        return sum(self._cost[layer] for layer in lowered) / sum(self._cost.values())

    def _in_fp32(self, wide: frozenset[Layer]) -> frozenset[str]:
        return self._islands.union(*(layer.nodes for layer in wide))

    def _titles(self, chosen: frozenset[Layer]) -> tuple[str, ...]:
        return tuple(layer.title for layer in self._layers if layer in chosen)
