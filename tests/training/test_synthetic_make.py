"""Random scenes out of videos with masks: seeded, within their settings, and usable as pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fgvc_training.data.synthetic.make import SceneSettings, make_scene, random_cut_out, render
from fgvc_training.data.synthetic.pairs import SyntheticPairs
from fgvc_training.data.synthetic.paths import MotionSettings
from fgvc_training.data.videos import FrameVideo, read_davis
from fgvc_training.errors import DataError
from fgvc_training.sampling import flow_targets, sample

SETTINGS = SceneSettings(size=(48, 64), frames=3, layers=(2, 2))


@pytest.fixture
def videos(tmp_path: Path) -> list[FrameVideo]:
    """Two videos of three frames: noise with a rectangle of another colour, which the mask marks."""
    rng = np.random.default_rng(0)
    for name, colour in (("a", (200, 30, 30)), ("b", (30, 30, 200))):
        for index in range(3):
            frame = rng.integers(90, 130, (60, 80, 3), dtype=np.uint8)
            frame[20:40, 30:50] = colour
            mask = np.zeros((60, 80), np.uint8)
            mask[20:40, 30:50] = 255
            for kind, pixels, suffix in (("JPEGImages", frame, "png"), ("Annotations", mask, "png")):
                path = tmp_path / kind / name / f"{index:05d}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    return read_davis(tmp_path, resolution=None)


def test_same_seed_same_scene(videos: list[FrameVideo]) -> None:
    def frames(seed: int) -> bytes:
        rng = np.random.default_rng(seed)
        return render(make_scene(videos, SETTINGS, rng), SETTINGS, rng).tobytes()

    assert frames(1) == frames(1)
    assert frames(1) != frames(2)


def test_scene_is_what_the_settings_say(videos: list[FrameVideo]) -> None:
    rng = np.random.default_rng(4)
    scene = make_scene(videos, SETTINGS, rng)
    frames = render(scene, SETTINGS, rng)
    assert frames.shape == (3, 48, 64, 3)
    assert frames.dtype == np.uint8
    assert (len(scene), len(scene.layers), scene.hw) == (3, 3, (48, 64))
    assert set(scene.ids(0).unique().tolist()) <= {0, 1, 2}  # type: ignore[no-untyped-call]


def test_cut_out_is_the_masked_object(videos: list[FrameVideo]) -> None:
    cut = random_cut_out(videos, 0.01, np.random.default_rng(0))
    assert cut.mask.shape == (24, 24)
    assert cut.mask.sum() == 400
    assert len({tuple(colour) for colour in cut.rgb[cut.mask].tolist()}) == 1
    with pytest.raises(DataError, match="no object of 50%"):
        random_cut_out(videos, 0.5, np.random.default_rng(0))


def test_pairs_have_flow_that_fits_their_images(videos: list[FrameVideo]) -> None:
    settings = SETTINGS.model_copy(update={"photometric": None})
    pairs = SyntheticPairs(videos, settings, 7)
    assert len(pairs) == 7
    pair = pairs.pair(0, np.random.default_rng(3))
    assert pair.visible is not None
    assert pair.flow_back is not None
    flow = torch.from_numpy(pair.flow).permute(2, 0, 1)[None]
    reference, target = (torch.from_numpy(image).permute(2, 0, 1)[None].float() for image in pair[:2])
    visible = torch.from_numpy(pair.visible)
    error = (sample(reference, flow_targets(flow)) - target).abs().mean(1)[0][visible]
    unmoved = (reference - target).abs().mean(1)[0][visible]
    # The texture is noise, so resampling blurs it; moved by the wrong flow it would look like `unmoved`.
    assert float(error.mean()) < 0.6 * float(unmoved.mean())


def test_without_motion_nothing_moves(videos: list[FrameVideo]) -> None:
    """Speed is drawn up to the settings' largest step, so settings of zero stand still."""
    still = MotionSettings(shift=0, turn=0, zoom=0, tilt=0, bend=0)
    settings = SETTINGS.model_copy(update={"layer_motion": still, "background_motion": still, "photometric": None})
    scene = make_scene(videos, settings, np.random.default_rng(0))
    flow, visible = scene.flow(0, 2)
    assert float(flow.abs().max()) < 1e-9
    assert visible.all()
    assert torch.equal(scene.image(0), scene.image(2))


def test_scenes_from_real_videos(data_dir: Path) -> None:
    videos = read_davis(data_dir / "davis16_train256", resolution=None)
    settings = SceneSettings(size=(128, 160), photometric=None)
    for seed in range(3):
        scene = make_scene(videos, settings, np.random.default_rng(seed))
        flow, visible = scene.flow(0, 1)
        warped = sample(scene.image(1)[None], flow_targets(flow[None].float()))[0]
        error = (warped - scene.image(0)).abs().mean(0)[visible]
        assert 0.5 < float(visible.float().mean()) <= 1
        assert float(error.median()) < 0.01
        assert float(flow.abs().max()) > 0.1
