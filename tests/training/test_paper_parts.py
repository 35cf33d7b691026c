"""Parts of the paper's task: teachers, evaluation of one propagation step, made-up outlines, Lab and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fgvc_training.augment.lab import normalized_lab, rgb_of_normalized_lab
from fgvc_training.data.prepare import PreparedPair
from fgvc_training.data.synthetic.outlines import random_outline
from fgvc_training.losses.soft_label import teacher_logits
from fgvc_training.paper.evaluation import matching_figures
from fgvc_training.paper.teacher import EncoderTeacher, PositionTeacher, TeacherSettings, make_teacher


class Positions(nn.Module):
    """Features that name the content: images carry a code in their first channels."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scale * x[:, :, ::2, ::2]


def coded_pair(shift: int) -> PreparedPair:
    """Random codes per pixel of 64 channels; the target shows at x what the reference shows at x + shift."""
    codes = torch.randn(64, 24, 32, generator=torch.Generator().manual_seed(0))
    flow = torch.zeros(2, 24, 32)
    flow[0] = shift
    images = torch.stack((codes, codes.roll(-shift, 2)))
    return PreparedPair(images, flow, torch.ones(24, 32, dtype=torch.bool))


@pytest.mark.parametrize("shift", [0, 4, -6])
def test_a_perfect_encoder_is_perfect(shift: int) -> None:
    figures = matching_figures(Positions(), [coded_pair(shift)], stride=2, radius=5, temperature=0.01)
    assert figures["delta_avg"] == pytest.approx(100, abs=0.01)
    assert figures["end_point_error"] < 0.01


def test_evaluation_counts_distances_in_pixels() -> None:
    """Truth is said to be 4 pixels further right than it is: all within 8 and 16 pixels, none within 1, 2 or 4."""
    pair = coded_pair(0)
    wrong = torch.zeros_like(pair.flow)
    wrong[0] = 4
    figures = matching_figures(Positions(), [pair._replace(flow=wrong)], stride=2, radius=5, temperature=0.01)
    assert figures["end_point_error"] == pytest.approx(4, abs=0.01)
    # At exactly 4 rounding decides, and `found` is a hair off.
    assert figures["delta_avg"] == pytest.approx(50, abs=10.1)
    hidden = pair._replace(visible=torch.zeros(24, 32, dtype=torch.bool))
    assert matching_figures(Positions(), [hidden], stride=2, radius=5, temperature=0.01)["delta_avg"] == 0


def test_position_teacher_labels_where_the_flow_ends() -> None:
    teacher = make_teacher(TeacherSettings(kind="position", sigma=4.0), stride=2)
    features = teacher(torch.zeros(2, 3, 20, 24))
    assert features.shape == (2, 256, 10, 12)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2, 10, 12))
    flow = torch.zeros(1, 2, 10, 12)
    flow[:, 0], flow[:, 1] = 2, -1
    labels = teacher_logits(features[:1], flow, 4, 0.07).softmax(-1)[0, 5, 5].reshape(9, 9)
    # Window entry (dy + 4, dx + 4).
    assert int(labels.argmax()) == 3 * 9 + 6
    assert float(labels[2:5, 5:8].sum()) > 0.7
    assert isinstance(teacher, PositionTeacher)


def test_rgb_teacher_sees_rgb_on_the_students_grid() -> None:
    """A teacher of stride 4 for a student of stride 2: its samples sit on every other feature, untouched."""
    teacher = make_teacher(TeacherSettings(arch="edge_lite0"), stride=2)
    assert isinstance(teacher, EncoderTeacher)
    rgb = torch.rand(1, 3, 34, 38, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = teacher(normalized_lab(rgb))
        mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        own = teacher.encoder((rgb - mean) / std)
    assert features.shape == (1, 176, 17, 19)
    # Lab and back is exact to about 1e-5 of RGB; the network enlarges that.
    torch.testing.assert_close(features[:, :, ::2, ::2], own, atol=2e-3, rtol=0)


def test_lab_and_back() -> None:
    rgb = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(rgb_of_normalized_lab(normalized_lab(rgb)), rgb, atol=2e-6, rtol=0)


def test_outlines_are_blobs_inside_the_frame() -> None:
    for seed in range(20):
        mask = random_outline((60, 90), np.random.default_rng(seed))
        assert 0.01 < (mask > 0).mean() < 0.25
        assert not mask[[0, -1]].any()
        assert not mask[:, [0, -1]].any()
