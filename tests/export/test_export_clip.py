"""The clip that the gate tracks on: the synthetic one, and a person's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fgvc_deploy.errors import InputError
from fgvc_export.clip import MAX_FRAMES, load_clip, source_name
from fgvc_export.synthetic_clip import synthetic_clip


def test_the_synthetic_clip_is_the_same_every_time() -> None:
    first, second = synthetic_clip(), synthetic_clip()
    assert len(first) == 12
    assert all(frame.shape == (96, 128, 3) and frame.dtype == np.uint8 for frame in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(frame.std() > 20 for frame in first)


@pytest.mark.parametrize(
    ("source", "name"), [("rtsp://ann:secret@10.0.0.1/cam.sdp?token=42", "cam.sdp"), ("clips/what?.mp4", "what?.mp4")]
)
def test_the_manifest_names_a_clip_without_its_secrets(source: str, name: str) -> None:
    assert source_name(source) == name


def test_a_clip_of_one_frame_is_refused_and_a_long_one_cut(tmp_path: Path) -> None:
    for index in range(MAX_FRAMES + 3):
        if index == 1:
            with pytest.raises(InputError, match="has fewer than two frames, so nothing can be tracked"):
                load_clip(str(tmp_path))
        Image.fromarray(synthetic_clip()[0]).save(tmp_path / f"{index:03}.png")
    clip = load_clip(f"{tmp_path}/")
    assert len(clip.frames) == MAX_FRAMES
    assert clip.describe() == f"{tmp_path.name}, 16 frames of 128x96"
