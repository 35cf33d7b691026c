"""The discriminator and its gradient reversal against goldens h."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fgvc_training.discriminator import CorrelationDiscriminator, GradientReversal
from fgvc_training.encoder.untrained import recipe_state
from fgvc_training.losses.adversarial import adversarial_loss

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]


def test_matches_reference(goldens: Goldens, parity: Callable[..., None]) -> None:
    h = goldens("h_training")
    discriminator = CorrelationDiscriminator(9)
    discriminator.load_state_dict(recipe_state(discriminator, str(h["grd.weights_prefix"])))
    x = torch.from_numpy(h["grd.x"]).requires_grad_()
    y = discriminator(x.permute(0, 2, 3, 1))
    # Three small float32 layers with values of size 1: a few rounding steps.
    parity(group="h", case="grd.y", value=np.abs(y.detach().numpy() - h["grd.y"]).max(), budget=2e-6, unit="logit")
    (gradient,) = torch.autograd.grad(y.sum(), x)
    reversed_error = np.abs(gradient.numpy() - h["grd.grad_x_with_reversal"]).max()
    plain_error = np.abs(-gradient.numpy() - h["grd.grad_x_plain"]).max()
    parity(group="h", case="grd.grad_x_with_reversal", value=reversed_error, budget=2e-6, unit="gradient")
    parity(group="h", case="grd.grad_x_plain", value=plain_error, budget=2e-6, unit="gradient")


@pytest.mark.parametrize("alpha", [1.0, 0.25])
def test_reversal_is_identity_forwards_and_minus_alpha_backwards(alpha: float) -> None:
    x = torch.linspace(-2, 3, 7, dtype=torch.float64, requires_grad=True)
    y = GradientReversal(alpha)(x)
    assert torch.equal(y, x)
    (gradient,) = torch.autograd.grad((y**3).sum(), x)
    torch.testing.assert_close(gradient, -alpha * 3 * x.detach() ** 2)


def test_discriminator_learns_while_the_features_learn_to_hide() -> None:
    """A step down the discriminator's own gradient lowers the loss; a step down the windows' gradient raises it."""
    torch.manual_seed(0)
    discriminator = CorrelationDiscriminator(25)
    synthetic = (torch.randn(2, 4, 5, 25) + 0.5).requires_grad_()
    video = (torch.randn(1, 3, 6, 25) - 0.5).requires_grad_()
    weights = list(discriminator.parameters())
    loss = adversarial_loss(discriminator, synthetic, video)
    gradients = torch.autograd.grad(loss, [synthetic, video, *weights])
    with torch.no_grad():
        moved = (synthetic - 0.5 * gradients[0], video - 0.5 * gradients[1])
        assert float(adversarial_loss(discriminator, *moved)) > float(loss)
        for weight, gradient in zip(weights, gradients[2:], strict=True):
            weight.sub_(0.05 * gradient)
        assert float(adversarial_loss(discriminator, synthetic, video)) < float(loss)
