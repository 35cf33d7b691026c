"""The corrected training step on its own: odd shapes, finite differences, what each switch does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fgvc_training.discriminator import CorrelationDiscriminator
from fgvc_training.errors import ShapeError
from fgvc_training.objective import ObjectiveSettings, TrainingBatch, TrainingObjective
from fgvc_training.quirks import Quirks


class TinyEncoder(nn.Module):
    """Two strided convolutions; float64 capable, odd sizes welcome."""

    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride, 1)
        self.mix = nn.Conv2d(6, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.mix(torch.tanh(self.conv(x)))
        return features


def tiny_batch(batch: int = 2, frames: int = 2, hw: tuple[int, int] = (13, 18)) -> TrainingBatch:
    generator = torch.Generator().manual_seed(8)
    video, synthetic = torch.randn(2, batch, frames, 3, *hw, generator=generator, dtype=torch.float64)
    flow = torch.randn(batch, 2, *hw, generator=generator, dtype=torch.float64) * 2
    return TrainingBatch(video, synthetic, flow, visible=torch.ones(batch, *hw, dtype=torch.bool))


def tiny_objective(settings: ObjectiveSettings) -> TrainingObjective:
    torch.manual_seed(9)
    discriminator = CorrelationDiscriminator(settings.window_entries)
    return TrainingObjective(
        TinyEncoder(settings.stride), TinyEncoder(settings.stride), discriminator, settings
    ).double()


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("frames", [2, 3])
def test_corrected_step_on_odd_shapes(stride: int, frames: int) -> None:
    objective = tiny_objective(ObjectiveSettings(stride=stride, radius=2))
    batch = tiny_batch(frames=frames)
    before = batch.video.clone(), batch.synthetic.clone()
    terms = objective(batch, np.random.default_rng(0))
    assert all(torch.isfinite(term) and float(term.detach()) > 0 for term in terms)
    assert torch.equal(batch.video, before[0])
    assert torch.equal(batch.synthetic, before[1])
    torch.testing.assert_close(terms.total, sum(terms[1:], terms[0]))


def test_corrected_gradient_by_finite_differences() -> None:
    """Without the adversary (its reversed gradient is not a derivative) the step's gradient is that of its loss."""
    objective = tiny_objective(ObjectiveSettings(radius=2, adversarial_weight=0.0))
    batch = tiny_batch()
    weight = objective.encoder.get_parameter("mix.weight")

    def loss(value: Tensor) -> Tensor:
        with torch.no_grad():
            weight.copy_(value)
        total: Tensor = objective(batch, np.random.RandomState(0)).total
        return total

    (gradient,) = torch.autograd.grad(loss(weight.detach().clone()), weight)
    start = weight.detach().clone()
    for index in [(0, 0, 0, 0), (3, 2, 0, 0), (4, 5, 0, 0)]:
        step = torch.zeros_like(start)
        step[index] = 1e-6
        slope = (loss(start + step) - loss(start - step)).detach() / 2e-6
        torch.testing.assert_close(gradient[index], slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("active", ["reconstruction", "soft_label", "adversarial"])
def test_weight_zero_skips_the_term_and_its_needs(active: str) -> None:
    """Alone, a term needs neither the others' labels nor their modules."""
    weights = dict.fromkeys(("reconstruction_weight", "soft_label_weight", "adversarial_weight"), 0.0)
    settings = ObjectiveSettings.model_validate({"radius": 2, **weights, f"{active}_weight": 1.0})
    objective = tiny_objective(settings)
    if active != "adversarial":
        objective.discriminator = None
    batch = tiny_batch()
    terms = objective(batch if active == "soft_label" else batch._replace(visible=None), np.random.default_rng(0))
    assert {name for name, term in terms._asdict().items() if float(term.detach()) != 0} == {active}


def test_weights_scale_their_terms() -> None:
    plain = tiny_objective(ObjectiveSettings(radius=2))(tiny_batch(), np.random.RandomState(0))
    scaled_settings = ObjectiveSettings(
        radius=2, reconstruction_weight=2.0, soft_label_weight=0.5, adversarial_weight=3.0
    )
    scaled = tiny_objective(scaled_settings)(tiny_batch(), np.random.RandomState(0))
    torch.testing.assert_close(torch.stack(scaled), torch.stack(plain) * torch.tensor([2.0, 0.5, 3.0]).double())


def test_says_what_is_missing() -> None:
    batch = tiny_batch()
    with pytest.raises(ShapeError, match="set stride"):
        TrainingObjective(TinyEncoder(2), TinyEncoder(2), None, ObjectiveSettings(stride=4)).double()(
            batch, np.random.default_rng(0)
        )
    no_adversary = ObjectiveSettings(radius=2)
    with pytest.raises(ShapeError, match="no discriminator"):
        TrainingObjective(TinyEncoder(), TinyEncoder(), None, no_adversary).double()(batch, np.random.default_rng(0))
    with pytest.raises(ShapeError, match="flow_back or visible"):
        tiny_objective(no_adversary)(batch._replace(visible=None), np.random.default_rng(0))


def test_every_switch_changes_something() -> None:
    """No switch is dead: turned on alone, each changes the loss, the caller's tensor, or a documented corner."""
    corners = {"nan_without_valid_pixels", "range_map_needs_full_mass", "dropout_in_place", "flow_always_halved"}

    def losses(quirks: Quirks, *, exact: bool = False) -> Tensor:
        batch = tiny_batch(hw=(25, 34))
        # Motion to the upper left, and a mismatch of the two flows that passes every threshold.
        flow = torch.full_like(batch.flow, -3.0)
        mismatch = torch.arange(34, dtype=torch.float64) % 4 * 0.6
        visible = batch.visible if exact else None
        batch = batch._replace(visible=visible, flow=flow, flow_back=-flow + mismatch)
        objective = tiny_objective(ObjectiveSettings(radius=2, quirks=quirks))
        return torch.stack(objective(batch, np.random.RandomState(0))).detach()

    for name in set(Quirks.model_fields) - corners:
        # The corrected estimate already hides what leaves the image; exact masks of other sources need not.
        exact = name == "targets_outside_image"
        switched = losses(Quirks.model_validate({name: True}), exact=exact)
        assert not torch.equal(switched, losses(Quirks(), exact=exact)), name
    four = ObjectiveSettings(stride=4, radius=2)
    halved = four.model_copy(update={"quirks": Quirks(flow_always_halved=True)})
    with pytest.raises(ShapeError, match="differ in shape"):
        tiny_objective(halved)(tiny_batch(), np.random.RandomState(0))
