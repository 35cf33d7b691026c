"""Settings that travel with a trained encoder: how to prepare a frame, and how labels are carried along.

They are stored in the bundle's manifest, so nothing in the runtime assumes the reference's values.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Compat = Literal["corrected", "reference"]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class FrozenModel(BaseModel):
    """A validated, immutable record; unknown keys are errors, so a typing mistake in a manifest is found."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PreprocessSettings(FrozenModel):
    """Colour space and normalisation of the encoder's input: `(colour - mean) / std`, per channel.

    `lab` is OpenCV's float Lab (L 0..100, a and b about -127..127); `rgb` is uint8 RGB / 255.
    """

    color_space: Literal["lab", "rgb"] = "lab"
    mean: tuple[float, float, float] = (50.0, 0.0, 0.0)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (50.0, 127.0, 127.0)


class EncoderSettings(FrozenModel):
    """Geometry of the encoder: feature (i, j) is centred on network pixel (stride * i, stride * j)."""

    arch: str
    stride: Annotated[int, Field(ge=1)] = 2
    channels: Annotated[int, Field(ge=1)] = 256


class VisibilitySettings(FrozenModel):
    """Weights of the evidence that a point is visible: confidence = sigmoid(bias + weights . evidence).

    `peak` and `similarity` weigh cosines and label values as they are, `log_mass` the natural logarithm of the label
    mass relative to the query frame (trackers/visibility.py).  Fitted on synthetic occlusion.
    """

    bias: FiniteFloat
    peak: FiniteFloat
    similarity: FiniteFloat
    log_mass: FiniteFloat


class RoundTripSettings(VisibilitySettings):
    """Weights where a point was also followed back to its query (pipeline/round_trip.py), and their own threshold.

    `log_gap` weighs the natural logarithm of the distance between the way there and the way back on a frame,
    `log_home` that on the query frame; both in network pixels.
    """

    log_gap: FiniteFloat
    log_home: FiniteFloat
    threshold: Annotated[float, Field(ge=0, le=1)]


class PropagationSettings(FrozenModel):
    """How labels are carried from the memory to a new frame (FGVC section 3.5; goldens items 8-25).

    `radius` is in feature pixels: a key is allowed iff its distance is < radius (`circle`) or |dx|, |dy| <= radius
    (`square`).  `memory` counts the preceding frames kept beside the first.  `label_sigma` (points) and
    `keypoint_sigma` (poses) are in network pixels.  `active_tau`: point tracking skips pixels whose window holds no
    label above this share of the point's highest one on that frame; 0 skips none (docs/active-set.md).
    `visibility` None: confidence is the label's own height, as before bundles were calibrated.  `round_trip` None:
    following points back changes no confidence.
    `fine`: `patch` refines the places of points by aligning image patches (docs/fine-stage.md); it has nothing to do
    with `fine_radius`, which belongs to the mode `coarse_to_fine`.
    """

    window: Literal["circle", "square"] = "circle"
    radius: PositiveFloat = 15.0
    topk: Annotated[int, Field(ge=1, le=32)] = 10
    temperature: PositiveFloat = 0.07
    memory: Annotated[int, Field(ge=1, le=64)] = 5
    label_sigma: PositiveFloat = 6.0
    keypoint_sigma: PositiveFloat = 4.0
    visible_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    visibility: VisibilitySettings | None = None
    round_trip: RoundTripSettings | None = None
    active_tau: Annotated[float, Field(ge=0, lt=1)] = 1e-5
    mode: Literal["local", "coarse_to_fine"] = "local"
    coarse_scale: Annotated[int, Field(ge=2, le=16)] = 4
    coarse_radius: PositiveFloat = 8.0
    fine_radius: Annotated[int, Field(ge=1, le=16)] = 4
    fine: Literal["off", "patch"] = "off"
