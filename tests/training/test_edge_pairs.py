"""Pairs of the edge encoder: flow chains, crops that keep flow exact, videos and scenes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fgvc_training.data.videos import FrameVideo, read_davis
from fgvc_training.edge.flow_estimate import chain, estimate_flow
from fgvc_training.edge.pairs import RawPair, ScenePairs, VideoPairs
from fgvc_training.edge.prepare import MEAN, STD, mirrored, prepare_pair
from fgvc_training.edge.settings import PairSettings
from fgvc_training.sampling import flow_targets, sample
from tiny_data import SHIFT, square, write_davis

HW = (80, 112)


def wave(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A picture, [3, ..], whose shortest period is 25 pixels."""
    return torch.stack((torch.sin(x / 5), torch.cos(y / 4), torch.sin((x + y) / 6))) * 0.4 + 0.5


def moved_pair() -> RawPair:
    """Target pixel p shows what the reference shows at p + flow(p), with an affine flow."""
    y, x = torch.meshgrid(torch.arange(float(HW[0])), torch.arange(float(HW[1])), indexing="ij")
    flow = torch.stack((3 + 0.03 * x, -2 + 0.02 * y))
    images = torch.stack((wave(x, y), wave(x + flow[0], y + flow[1])))
    frames = (images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    ids = np.stack([(x > 40).byte().numpy(), (x + flow[0] > 40).byte().numpy()])
    return RawPair(frames, flow, torch.ones(HW, dtype=torch.bool), ids)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_flow_still_matches_the_images_after_cropping(seed: int, mirror: bool) -> None:
    """Where flow ends the reference shows the target's colour: the same to resampling and 8-bit rounding."""
    settings = PairSettings(size=64, area=(0.3, 0.5), photometric=None)
    pair = mirrored(moved_pair()) if mirror else moved_pair()
    ready = prepare_pair(pair, settings, np.random.default_rng(seed))
    assert ready.frames.shape == (2, 3, 64, 64)
    assert ready.flow.shape == (2, 16, 16)
    positions = flow_targets(ready.flow[None]) * 4
    inside = ((positions > 2) & (positions < 61)).all(-1)[0]
    assert inside.float().mean() > 0.4
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    reference, target = ready.frames * std + mean
    error = (sample(reference[None], positions)[0] - target[:, ::4, ::4]).abs()[:, inside]
    # A feature pixel off would be an error of up to 0.3.
    assert error.max() < 0.03
    x, y = (positions[0] / 4).round().long().clamp(0, 15).unbind(-1)
    # Only a pixel at the object's border may round to the other side.
    assert (ready.ids[0][y, x] == ready.ids[1])[inside].float().mean() > 0.9


def test_chained_constant_flow_adds_up() -> None:
    step = torch.tensor((2.0, -1.0))[:, None, None].expand(2, 20, 30)
    flow, valid = chain([step, step, step], [-step, -step, -step], tolerance=0.1)
    torch.testing.assert_close(flow[:, 10, 10], torch.tensor((6.0, -3.0)))
    assert valid[10, 10]
    assert not valid[10, 25], "it leaves the image on the way"


def test_chained_flow_that_does_not_come_back_is_not_trusted() -> None:
    step = torch.ones(2, 20, 30)
    back = -step.clone()
    back[:, :, 20:] += 3
    _, valid = chain([step], [back], tolerance=1.0)
    assert valid[5, 5]
    assert not valid[5, 24]


def test_estimated_flow_finds_a_shift() -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(96.0), indexing="ij")
    frame, other = ((wave(x - dx, y) * 255).byte().permute(1, 2, 0).numpy() for dx in (0.0, 2.5))
    flow = estimate_flow(frame, other)[:, 16:-16, 16:-16]
    # DIS on a smooth texture; its published error is a few tenths of a pixel.
    assert (flow - torch.tensor((2.5, 0.0))[:, None, None]).norm(dim=0).median() < 0.3


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[FrameVideo]:
    root = tmp_path_factory.mktemp("davis")
    for name in ("one", "two"):
        write_davis(root, name, 8)
    return read_davis(root)


def test_video_pairs_know_flow_and_objects(videos: list[FrameVideo]) -> None:
    settings = PairSettings(longest_gap=1, longest_chain=1)
    pair = VideoPairs(videos, settings).draw(np.random.default_rng(3))
    assert pair.frames.shape == (2, 72, 96, 3)
    assert set(np.unique(pair.ids)) == {0, 1}
    inside = torch.zeros(72, 96, dtype=torch.bool)
    rows, columns = square(4)
    inside[rows.start + 6 : rows.stop - 6, columns.start + 6 : columns.stop - 6] = True
    flow = pair.flow[:, inside].median(1).values
    shift = torch.from_numpy(SHIFT).float()
    # The square moves by SHIFT forwards or backwards in time.
    assert min(float((flow - shift).norm()), float((flow + shift).norm())) < 0.5


def test_video_pairs_far_apart_have_no_flow(videos: list[FrameVideo]) -> None:
    pair = VideoPairs(videos, PairSettings(longest_chain=0)).draw(np.random.default_rng(0))
    assert not pair.valid.any()
    assert pair.ids.any()


def test_a_scene_of_the_pool_is_always_the_same(videos: list[FrameVideo]) -> None:
    settings = PairSettings(pool=1)
    first = ScenePairs(videos, settings, seed=5).draw(np.random.default_rng(0))
    again = ScenePairs(videos, settings, seed=5).draw(np.random.default_rng(9))
    assert np.array_equal(first.frames, again.frames)
    assert torch.equal(first.flow, again.flow)
    assert not np.array_equal(
        first.frames, ScenePairs(videos, settings, seed=6).draw(np.random.default_rng(0)).frames
    )
