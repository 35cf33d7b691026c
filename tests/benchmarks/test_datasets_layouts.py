"""DAVIS and BADJA: tiny files in the official layouts, then the real data where present."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fgvc_benchmarks.datasets.badja import read_badja
from fgvc_benchmarks.datasets.davis import read_davis
from fgvc_benchmarks.datasets.frames import read_foreground, read_object_ids, read_rgb
from fgvc_benchmarks.metrics.badja import BadjaSequence, badja_pck
from fgvc_deploy.errors import InputError

HW = (9, 16)


def save_image(path: Path, pixels: NDArray[np.uint8], palette: list[int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette)
    image.save(path)


def write_davis(root: Path, name: str, masks: list[NDArray[np.uint8]], palette: list[int] | None = None) -> None:
    for index, mask in enumerate(masks):
        frame = np.full((*mask.shape, 3), 10 * index, np.uint8)
        save_image(root / "JPEGImages" / "480p" / name / f"{index:05d}.jpg", frame)
        save_image(root / "Annotations" / "480p" / name / f"{index:05d}.png", mask, palette)


def object_mask(*ids: int) -> NDArray[np.uint8]:
    mask = np.zeros(HW, np.uint8)
    for column, object_id in enumerate(ids):
        mask[2:5, 3 * column : 3 * column + 3] = object_id
    return mask


def test_davis_2016(tmp_path: Path) -> None:
    write_davis(tmp_path, "dog", [object_mask(255), object_mask()])
    write_davis(tmp_path, "camel", [object_mask(255)])
    camel, dog = read_davis(tmp_path)
    assert (camel.name, dog.name, len(dog.frames)) == ("camel", "dog", 2)
    assert dog.frames[1].shape == (*HW, 3)
    assert abs(int(dog.frames[1][0, 0, 0]) - 10) <= 1
    assert np.array_equal(dog.labels(0), object_mask(1))
    assert not dog.labels(1).any()


def test_davis_2017_with_split_and_void(tmp_path: Path) -> None:
    palette = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + [64] * (3 * 252)
    write_davis(tmp_path, "goldfish", [object_mask(1, 2, 255), object_mask(255)], palette)
    write_davis(tmp_path, "unlisted", [object_mask(1)], palette)
    (tmp_path / "ImageSets" / "2017").mkdir(parents=True)
    (tmp_path / "ImageSets" / "2017" / "val.txt").write_text("goldfish\n")
    (sequence,) = read_davis(tmp_path, split="val")
    assert np.array_equal(sequence.labels(0), object_mask(1, 2))
    assert not sequence.labels(1).any()  # palette index 255 alone is void, not object 1
    with pytest.raises(InputError, match=r"no list train\.txt"):
        read_davis(tmp_path, split="train")


def test_davis_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        read_davis(tmp_path)
    write_davis(tmp_path, "dog", [object_mask(255)] * 2)
    (tmp_path / "Annotations" / "480p" / "dog" / "00001.png").unlink()
    with pytest.raises(InputError, match="2 frames but 1 masks"):
        read_davis(tmp_path)


def test_masks_with_alpha_and_damaged_images(tmp_path: Path) -> None:
    grey = object_mask(255)
    save_image(tmp_path / "la.png", np.stack((grey, np.full(HW, 255, np.uint8)), -1))
    assert np.array_equal(read_foreground(tmp_path / "la.png"), grey > 0)
    assert np.array_equal(read_object_ids(tmp_path / "la.png"), object_mask(1))
    (tmp_path / "broken.png").write_bytes((tmp_path / "la.png").read_bytes()[:60])
    with pytest.raises(InputError, match="cannot be read"):
        read_rgb(tmp_path / "broken.png")


def write_badja(root: Path, entries: dict[int, tuple[list[list[int]], list[bool]]], prefix: str = "DAVIS") -> None:
    content = [
        {
            "image_path": f"{prefix}/JPEGImages/Full-Resolution/dog/{number:05d}.jpg",
            "segmentation_path": f"{prefix}/Annotations/Full-Resolution/dog/{number:05d}.png",
            "joints": joints,
            "visibility": visible,
        }
        for number, (joints, visible) in entries.items()
    ]
    folder = root / "badja" / "joint_annotations"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}_dog.json").write_text(json.dumps(content))


def test_badja(tmp_path: Path) -> None:
    write_davis(tmp_path / "davis16", "dog", [object_mask(255)] * 5)
    rows_columns = [[540, 960], [0, 0], [1080, 1920]]
    write_badja(tmp_path, {1: (rows_columns, [True, False, True]), 3: (rows_columns, [False, False, True])})
    write_badja(tmp_path, {1: (rows_columns, [True] * 3)}, prefix="extra_videos")
    (clip,) = read_badja(tmp_path)
    assert clip.name == "dog"
    assert [path.name for path in clip.frames.paths] == ["00001.jpg", "00002.jpg", "00003.jpg"]
    assert clip.visible.tolist() == [[True, False, False], [True, False, True]]
    assert clip.joints[0, 0].tolist() == [8.0, 4.5]  # half of 16 x 9: row 540 of 1080, column 960 of 1920
    assert clip.joints[1, 2].tolist() == [16.0, 9.0]
    assert clip.mask_area.tolist() == [9, 0, 9]


def test_badja_says_what_is_missing(tmp_path: Path) -> None:
    write_badja(tmp_path, {0: ([[1, 1]], [True]), 7: ([[1, 1]], [True])})
    with pytest.raises(InputError, match="no annotated sequence has frames"):
        read_badja(tmp_path)
    write_davis(tmp_path / "davis16", "dog", [object_mask(255)] * 5)
    with pytest.raises(InputError, match=r"lacks 3 annotated frames, the first is 00005\.jpg"):
        read_badja(tmp_path)
    (tmp_path / "badja" / "joint_annotations" / "DAVIS_dog.json").write_text("{}")
    with pytest.raises(InputError, match="no BADJA annotation"):
        read_badja(tmp_path)


@pytest.mark.parametrize(("name", "floor"), [("camel", 63.5), ("dog", 5.6), ("horsejump-low", 35.3)])
def test_badja_static_floor_on_real_data(data_dir: Path, name: str, floor: float) -> None:
    """Joints that never move score what the data's README measured with its own code."""
    (clip,) = (clip for clip in read_badja(data_dir) if clip.name == name)
    static = np.broadcast_to(clip.joints[:, :1], clip.joints.shape)
    score = badja_pck({name: BadjaSequence(static, clip.joints, clip.visible, clip.mask_area)}, 0.2)
    assert round(score.average, 1) == floor
