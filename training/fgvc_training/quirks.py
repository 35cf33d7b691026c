"""What the published training code does otherwise than its formulas say: one switch each, all off by default.

This table is the single list: the losses take their switches from here, configurations name them, docs are written
from the descriptions.  Only switches live here; the arithmetic is beside the loss it belongs to.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Quirks(BaseModel):
    """Switches of the training losses; True = as the published code does it (goldens items 33-39).

    `Quirks()` is the corrected recipe, `Quirks.reference()` the published one, and any mixture may be trained, so the
    effect of each correction can be measured on its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    teacher_normalized_along_height: bool = Field(
        default=False,
        description="Teacher features are L2-normalised along image height, so their channel norm is about 2.6 and "
        "the soft labels are almost one-hot. Corrected: along channels, as the student's.",
    )
    padding_competes: bool = Field(
        default=False,
        description="Window positions outside the image take part in every softmax with similarity 0. "
        "Corrected: they get no probability.",
    )
    targets_outside_image: bool = Field(
        default=False,
        description="A pixel whose flow ends outside the image stays valid if the occlusion test lets it; its "
        "teacher feature is then (partly) zero and its soft label close to uniform. "
        "Corrected: such pixels are left out.",
    )
    nan_without_valid_pixels: bool = Field(
        default=False,
        description="The supervised loss is 0/0 = NaN when no pixel is valid. "
        "Corrected: it is 0, and so is its gradient.",
    )
    flow_always_halved: bool = Field(
        default=False,
        description="Flow and image are subsampled and flow is divided by 2 whatever the encoder's stride. "
        "Corrected: by the stride.",
    )
    doubled_flow_in_occlusion: bool = Field(
        default=False,
        description="The forward-backward threshold adds 2*flow where flow**2 is meant, so leftward and upward "
        "motion lowers it. Corrected: flow**2.",
    )
    half_pixel_occlusion_warp: bool = Field(
        default=False,
        description="The backward flow is read at x*W/(W-1) - 0.5 instead of x, and read as 0 outside the image. "
        "Corrected: at x; pixels that leave the image are not visible.",
    )
    range_map_needs_full_mass: bool = Field(
        default=False,
        description="A pixel counts as visible only if the flows landing on it sum to at least 1, so any "
        "magnification hides it. Corrected: at least 0.5.",
    )
    raw_features_in_reconstruction: bool = Field(
        default=False,
        description="Reconstruction attends with un-normalised features, divided by sqrt(C), where tracking uses "
        "cosine / temperature. Corrected: cosine / temperature, so what is trained is what runs.",
    )
    half_pixel_reconstruction: bool = Field(
        default=False,
        description="The reconstructed channel sits on pixels (0, s, 2s, ..) but is enlarged with half-pixel "
        "centres, so it is compared (s - 1)/2 pixels off. Corrected: enlarged so that sample i lies on pixel s*i.",
    )
    raw_features_in_adversarial: bool = Field(
        default=False,
        description="The discriminator sees un-normalised correlations in the hundreds: its loss starts above 30 and "
        "outweighs the others about tenfold in the encoder's gradient. Corrected: cosine similarities.",
    )
    dropout_in_place: bool = Field(
        default=False,
        description="Channel dropout overwrites the caller's images. Corrected: it works on a copy.",
    )

    @classmethod
    def reference(cls) -> Quirks:
        """All switches on: the published code, reproduced against goldens h."""
        return cls(**dict.fromkeys(cls.model_fields, True))
