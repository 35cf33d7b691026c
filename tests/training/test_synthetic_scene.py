"""Synthetic scenes: motion inverts, images follow the flow, tracks follow the flow, occlusion follows the ids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fgvc_training.data.synthetic.motion import Motion
from fgvc_training.data.synthetic.paths import MotionSettings, random_motion, smooth_path
from fgvc_training.data.synthetic.scene import Layer, Scene
from fgvc_training.errors import ShapeError
from fgvc_training.occlusion import visible_by_consistency
from fgvc_training.sampling import sample

HW = (72, 96)
FRAMES = 4
STRONG = MotionSettings(shift=6.0, turn=0.1, zoom=0.08, tilt=0.3, bend=0.3)


def smooth_texture(hw: tuple[int, int], seed: int) -> Tensor:
    """Low-frequency colours: bilinear samples of them are exact to about 0.001, so tests measure motion."""
    noise = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, hw, mode="bicubic", align_corners=True)[0].clamp(0, 1)


def disk(hw: tuple[int, int]) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(-1, 1, hw[0]), torch.linspace(-1, 1, hw[1]), indexing="ij")
    return ((1 - (x**2 + y**2).sqrt()) * 6 + 0.5).clamp(0, 1)[None]


def random_scene(seed: int, settings: MotionSettings = STRONG) -> Scene:
    rng = np.random.default_rng(seed)
    height, width = HW
    layers = [
        Layer(smooth_texture((80, 120), seed), None, random_motion(FRAMES, (80, 120), (48, 36), 1.2, settings, rng))
    ]
    for number, size in enumerate(((40, 50), (30, 24)), start=1):
        centre = (width * rng.uniform(0.2, 0.8), height * rng.uniform(0.2, 0.8))
        motion = random_motion(FRAMES, size, centre, rng.uniform(0.7, 1.3), settings, rng)
        layers.append(Layer(smooth_texture(size, 100 * seed + number), disk(size), motion))
    return Scene(layers, HW)


def all_pixels() -> Tensor:
    y, x = torch.meshgrid(torch.arange(HW[0]), torch.arange(HW[1]), indexing="ij")
    return torch.stack((x, y), -1).double()


@pytest.mark.parametrize("seed", range(5))
def test_motion_and_its_inverse_cancel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion = random_motion(FRAMES, (60, 90), (30, 40), 1.5, MotionSettings(bend=0.45, tilt=0.4), rng)
    points = torch.from_numpy(rng.uniform(-40, 130, (200, 2)))
    for frame in range(FRAMES):
        torch.testing.assert_close(motion.to_frame(frame, motion.to_layer(frame, points)), points, rtol=0, atol=1e-7)
        left, top, right, bottom = motion.bounds(frame, (60, 90))
        corners = motion.to_frame(frame, torch.tensor([[0.0, 0], [89, 0], [0, 59], [89, 59]], dtype=torch.float64))
        assert bool(((corners[:, 0] >= left) & (corners[:, 0] <= right)).all())
        assert bool(((corners[:, 1] >= top) & (corners[:, 1] <= bottom)).all())


def test_a_warp_that_could_fold_is_refused() -> None:
    eye = torch.eye(3, dtype=torch.float64)[None]
    with pytest.raises(ShapeError, match="may fold"):
        Motion(eye, torch.ones(1, 1, 2), torch.ones(1, 2), torch.zeros(1))


def test_paths_start_at_zero_and_keep_their_step() -> None:
    for seed in range(20):
        path = smooth_path(30, 5.0, 2, np.random.default_rng(seed))
        assert np.array_equal(path[0], [0, 0])
        steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
        assert 0 < steps.max() <= 5.0 + 1e-9
        assert np.abs(np.diff(path, n=2, axis=0)).max() < 5.0
    assert np.array_equal(smooth_path(1, 5.0, 2, np.random.default_rng(0)), np.zeros((1, 2)))


def test_pixel_convention_of_the_area_average() -> None:
    """A linear ramp moved by a known shift: the mean over a pixel's four samples is the ramp at its centre."""
    ramp = (torch.arange(60.0) * 0.01 + torch.arange(50.0)[:, None] * 0.004).expand(3, 50, 60)
    matrices = torch.eye(3, dtype=torch.float64).repeat(2, 1, 1)
    matrices[1, :2, 2] = torch.tensor([-3.3, -1.7], dtype=torch.float64)
    no_warp = torch.zeros(2, 0, 2).double(), torch.zeros(0, 2).double(), torch.zeros(0).double()
    matrices[:, :2, 2] -= 5  # away from the mirrored border
    scene = Scene([Layer(ramp.contiguous(), None, Motion(matrices, *no_warp))], (20, 30))
    x, y = torch.arange(30.0), torch.arange(20.0)[:, None]
    torch.testing.assert_close(scene.image(0)[0], (x + 5) * 0.01 + (y + 5) * 0.004)
    torch.testing.assert_close(scene.image(1)[0], (x + 8.3) * 0.01 + (y + 6.7) * 0.004)
    flow, visible = scene.flow(0, 1)
    torch.testing.assert_close(flow[:, 5, 5], torch.tensor([-3.3, -1.7], dtype=torch.float64))
    assert bool(visible[2:, 4:].all())
    assert not bool(visible[:1].any())


@pytest.mark.parametrize("seed", range(3))
def test_flow_warps_one_frame_onto_the_other(seed: int) -> None:
    scene = random_scene(seed)
    frame, other = 0, FRAMES - 1
    flow, visible = scene.flow(frame, other)
    warped = sample(scene.image(other)[None], (all_pixels() + flow.permute(1, 2, 0))[None].float())[0]
    # Next to an edge the area average mixes layers, so pixels within 2 of another layer are left out.
    same_layer = inner(scene.ids(frame)) & visible & sampled_inner(scene, other, flow)
    error = (warped - scene.image(frame)).abs().amax(0)[same_layer]
    assert int(same_layer.sum()) > 1500
    assert float(error.mean()) < 0.003
    assert float(error.quantile(0.99)) < 0.02
    still = (scene.image(other) - scene.image(frame)).abs().amax(0)[same_layer]
    assert float(error.mean()) < 0.1 * float(still.mean())


def inner(ids: Tensor, margin: int = 2) -> Tensor:
    """Pixels whose neighbourhood belongs to one layer."""
    padded = F.pad(ids.double()[None, None], (margin,) * 4, mode="replicate")
    size = 2 * margin + 1
    return (F.max_pool2d(padded, size, 1) == -F.max_pool2d(-padded, size, 1))[0, 0]


def sampled_inner(scene: Scene, frame: int, flow: Tensor) -> Tensor:
    """Pixels whose flow ends where the neighbourhood belongs to one layer."""
    there = (all_pixels() + flow.permute(1, 2, 0))[None]
    return sample(inner(scene.ids(frame)).double()[None, None], there)[0, 0] > 0.999


@pytest.mark.parametrize("seed", range(3))
def test_tracks_agree_with_flow(seed: int) -> None:
    scene = random_scene(seed)
    start = 1
    pixels = all_pixels()[::5, ::7].reshape(-1, 2)
    queries = torch.cat((torch.full((len(pixels), 1), float(start)), pixels.flip(-1)), dim=1)
    tracks, occluded = scene.track(queries)
    torch.testing.assert_close(tracks[:, start], pixels, rtol=0, atol=1e-7)
    assert not occluded[:, start].any()
    for other in range(FRAMES):
        flow, visible = scene.flow(start, other)
        expected = pixels + flow.permute(1, 2, 0)[::5, ::7].reshape(-1, 2)
        torch.testing.assert_close(tracks[:, other], expected, rtol=0, atol=1e-7)
        assert torch.equal(~occluded[:, other], visible[::5, ::7].reshape(-1))


@pytest.mark.parametrize("seed", range(3))
def test_occlusion_agrees_with_ids(seed: int) -> None:
    """A point that lands amid one layer is seen if that layer is its own, and else hidden by one in front of it."""
    scene = random_scene(seed)
    start, other = 0, FRAMES - 1
    owners = scene.owners(start, all_pixels())
    assert torch.equal(owners.ids, scene.ids(start))
    flow, visible = scene.flow(start, other)
    there = (all_pixels() + flow.permute(1, 2, 0)).round().long()
    x, y = there.unbind(-1)
    clear = (x >= 0) & (x < HW[1]) & (y >= 0) & (y < HW[0])
    ids_there = scene.ids(other)[y.clamp(0, HW[0] - 1), x.clamp(0, HW[1] - 1)]
    clear &= inner(scene.ids(other))[y.clamp(0, HW[0] - 1), x.clamp(0, HW[1] - 1)]
    exact = all_pixels() + flow.permute(1, 2, 0)
    clear &= (exact >= 0).all(-1) & (exact <= torch.tensor([HW[1] - 1, HW[0] - 1])).all(-1)
    assert torch.equal(visible[clear], (ids_there == owners.ids)[clear])
    hidden = clear & ~visible
    assert int(hidden.sum()) > 20
    assert bool((ids_there[hidden] > owners.ids[hidden]).all())


@pytest.mark.parametrize("seed", range(3))
def test_estimated_visibility_agrees_with_the_exact_one(seed: int) -> None:
    """Two independent ways: flows in both directions, and geometry.  They may differ along edges."""
    scene = random_scene(seed)
    (flow, visible), (flow_back, _) = scene.flow(0, FRAMES - 1), scene.flow(FRAMES - 1, 0)
    estimated = visible_by_consistency(flow[None].float(), flow_back[None].float())[0]
    assert float((estimated == visible).float().mean()) > 0.95
