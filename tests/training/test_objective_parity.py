"""The whole training step under the reference switches against goldens h: losses, gradients and side effects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fgvc_training.discriminator import CorrelationDiscriminator
from fgvc_training.encoder.resnet import ResNet18D1
from fgvc_training.encoder.untrained import recipe_state
from fgvc_training.objective import LossTerms, ObjectiveSettings, TrainingBatch, TrainingObjective
from fgvc_training.quirks import Quirks

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
Parity = Callable[..., None]
NAMES = {"reconstruction": "l1_loss", "soft_label": "sup_loss", "adversarial": "corr_da_loss"}


class Step(NamedTuple):
    objective: TrainingObjective
    terms: LossTerms
    video_after: Tensor
    conv1_norms: dict[str, float]
    gradients: dict[str, Tensor]


def with_recipe(module: nn.Module, prefix: str) -> nn.Module:
    module.load_state_dict(recipe_state(module, prefix))
    return module


@pytest.fixture(scope="module")
def reference_step(goldens: Goldens) -> Callable[[int], Step]:
    """One step of the published code's batch, weights and seed, run once per radius."""
    h = goldens("h_training")

    @cache
    def run(radius: int) -> Step:
        settings = ObjectiveSettings(radius=radius, quirks=Quirks.reference())
        objective = TrainingObjective(
            with_recipe(ResNet18D1(), "backbone."),
            with_recipe(ResNet18D1(), "teacher."),
            with_recipe(CorrelationDiscriminator(settings.window_entries), "corr_discriminator."),
            settings,
        ).train()
        flow, flow_back = (torch.from_numpy(h[name]).permute(0, 3, 1, 2) for name in ("flow", "flow_back"))
        video, synthetic = (torch.from_numpy(h[name][:, 0].copy()) for name in ("imgs", "imgs_sup"))
        batch = TrainingBatch(video, synthetic, flow, flow_back)
        terms = objective(batch, np.random.RandomState(int(h[f"r{radius}.np_seed"])))
        trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
        parts = {name: _gradients(term, trained) for name, term in _named(terms)}
        norms = {name: _norm(part["encoder.conv1.conv.weight"]) for name, part in parts.items()}
        # The gradient of the summed loss, without a fourth pass: that of its terms, summed.
        summed = {name: torch.stack([part[name] for part in parts.values()]).sum(0) for name in trained}
        return Step(objective, terms, video, norms, summed)

    return run


def _named(terms: LossTerms) -> list[tuple[str, Tensor]]:
    return [(NAMES[field], getattr(terms, field)) for field in NAMES]


def _gradients(term: Tensor, parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    gradients = torch.autograd.grad(
        term, list(parameters.values()), retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return dict(zip(parameters, gradients, strict=True))


def _norm(gradient: Tensor) -> float:
    return float(gradient.double().norm())


@pytest.mark.parametrize("radius", [24, 6])
def test_losses_match(goldens: Goldens, parity: Parity, reference_step: Callable[[int], Step], radius: int) -> None:
    h, step = goldens("h_training"), reference_step(radius)
    for name, term in _named(step.terms):
        expected = float(h[f"r{radius}.loss.{name}"])
        error = abs(float(term.detach()) - expected) / expected
        # The published float32 run is itself up to 1.9e-6 from the same step in float64 (l1_loss, radius 24; ours is
        # 2e-7 from it): raw correlations in the hundreds go through a softmax.
        parity(group="h", case=f"r{radius}.loss.{name}", value=error, budget=3e-6, unit="relative")
        expected = float(h[f"r{radius}.grad_conv1_norm.{name}"])
        error = abs(step.conv1_norms[name] - expected) / expected
        # Rounding of 20 layers forwards and backwards; the published gradients are up to 1.2e-4 from float64.
        parity(group="h", case=f"r{radius}.grad_conv1_norm.{name}", value=error, budget=1e-5, unit="relative")


@pytest.mark.parametrize("radius", [24, 6])
def test_gradients_match(
    goldens: Goldens, parity: Parity, reference_step: Callable[[int], Step], radius: int
) -> None:
    h, step = goldens("h_training"), reference_step(radius)
    prefix = f"r{radius}.grad_norm."
    names = [key.removeprefix(prefix) for key in h if key.startswith(prefix)]
    assert len(names) == 7
    for name in names:
        ours = name.replace("backbone.", "encoder.").replace("corr_discriminator.", "discriminator.")
        gradient = step.gradients[ours]
        expected = float(h[prefix + name])
        norm_error = abs(_norm(gradient) - expected) / expected
        parity(group="h", case=prefix + name, value=norm_error, budget=1e-5, unit="relative")
        head = h[f"r{radius}.grad_head.{name}"]
        head_error = np.abs(gradient.flatten()[:64].numpy() - head).max() / np.abs(head).max()
        parity(group="h", case=f"r{radius}.grad_head.{name}", value=head_error, budget=2e-5, unit="of maximum")


@pytest.mark.parametrize("radius", [24, 6])
def test_side_effects_match(
    goldens: Goldens, parity: Parity, reference_step: Callable[[int], Step], radius: int
) -> None:
    """Batch norm saw the video, then the synthetic pair; the caller's video was overwritten; one channel per call."""
    h, step = goldens("h_training"), reference_step(radius)
    norm = step.objective.encoder.get_submodule("layer3.1.conv2.bn")
    for statistic in ("mean", "var"):
        expected = h[f"r{radius}.bn_running_{statistic}_after"]
        error = np.abs(norm.get_buffer(f"running_{statistic}").numpy() - expected).max() / np.abs(expected).max()
        parity(group="h", case=f"r{radius}.bn_running_{statistic}_after", value=error, budget=1e-6, unit="of maximum")
    after = step.video_after[..., ::8, ::8].numpy()
    error = np.abs(after - h[f"r{radius}.imgs_after"][:, 0]).max()
    parity(group="h", case=f"r{radius}.imgs_after", value=error, budget=0, unit="Lab, normalised")
    # Both calls drew the same channel here; the published log holds (count, channel) of each.
    dropped = int(np.flatnonzero(np.abs(after).max((0, 1, 3, 4)) == 0)[0])
    wrong = int(str([[1], [dropped]] * 2) != str(h[f"r{radius}.choice_log"]))
    parity(group="h", case=f"r{radius}.choice_log", value=wrong, budget=0, unit="logs")


def test_nothing_reaches_the_teacher(reference_step: Callable[[int], Step]) -> None:
    step = reference_step(6)
    assert not any(name.startswith("teacher.") for name in step.gradients)
    assert not step.objective.train().teacher.training
    assert step.objective.encoder.training
