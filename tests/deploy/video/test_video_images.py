"""Folders and patterns of images: order, modes, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fgvc_deploy.errors import InputError, SourceFault
from fgvc_deploy.video import open_source
from fgvc_deploy.video.images import IMAGE_SUFFIXES, natural_key, to_rgb

HW = (6, 8)
RAMP = np.arange(48, dtype=np.uint8).reshape(HW) * 5


def save(folder: Path, name: str, value: int = 0, hw: tuple[int, int] = HW) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(np.full((*hw, 3), value, np.uint8)).save(folder / name)


def first_values(source: str | Path) -> list[int]:
    with open_source(source) as frames:
        return [int(frame[0, 0, 0]) for frame in frames]


def test_natural_order_and_other_files_ignored(tmp_path: Path) -> None:
    for name, value in (("f10.png", 10), ("f2.PNG", 2), ("F1.png", 1), ("f100.png", 100)):
        save(tmp_path, name, value)
    (tmp_path / "notes.txt").write_text("not a frame")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "f5.png").mkdir()
    with open_source(tmp_path) as source:
        assert (source.hw, source.frame_count, source.fps, source.reopenable) == (HW, 4, None, True)
    assert first_values(tmp_path) == [1, 2, 10, 100]


def test_natural_key_orders_names_of_any_kind() -> None:
    names = ["a", "a1b2", "a1b10", "a2", "1", "02", "10", "²", "z"]
    for name in names:
        assert sorted([Path("10"), Path(name)], key=natural_key)
    assert sorted(map(Path, names[:4] + names[4:7]), key=natural_key)[:3] == [Path("1"), Path("02"), Path("10")]


@pytest.mark.parametrize("relative", [True, False])
def test_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool) -> None:
    for index in range(12):
        save(tmp_path, f"{index}.png", index)
    save(tmp_path, "other.png", 200)
    monkeypatch.chdir(tmp_path)
    prefix = "" if relative else f"{tmp_path}/"
    assert first_values(f"{prefix}[0-9]*.png") == list(range(12))


def test_pattern_over_folders_goes_folder_by_folder(tmp_path: Path) -> None:
    for index, name in enumerate(["take2/9.png", "take2/10.png", "take10/1.png", "take10/9.png"]):
        save(tmp_path / name.partition("/")[0], name.partition("/")[2], index)
    assert first_values(f"{tmp_path}/take*/*.png") == [0, 1, 2, 3]


def test_pattern_that_cannot_be_searched(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\*\*\.png is no pattern"):
        open_source(f"{tmp_path}/a**.png")


def test_folder_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    save(tmp_path / "take[1]", "0.png", 7)
    assert first_values(tmp_path / "take[1]") == [7]


@pytest.mark.parametrize("suffix", [suffix for suffix in IMAGE_SUFFIXES if suffix != ".jp2"])
def test_every_format_that_is_promised_can_be_read(tmp_path: Path, suffix: str) -> None:
    grey = suffix == ".pgm"
    pixels = np.full(HW if grey else (*HW, 3), 120, np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"0{suffix}")
    with open_source(tmp_path) as source:
        assert np.abs(next(iter(source)).astype(int) - 120).max() <= 2


def test_modes_become_rgb() -> None:
    grey = np.repeat(RAMP[..., None], 3, axis=2)
    np.testing.assert_array_equal(to_rgb(Image.fromarray(RAMP)), grey)
    np.testing.assert_array_equal(to_rgb(Image.fromarray(RAMP.astype(np.uint16) * 257)), grey)
    np.testing.assert_array_equal(to_rgb(Image.fromarray(RAMP > 100)), np.where(grey > 100, 255, 0))
    palette = Image.fromarray(RAMP).convert("P")
    palette.putpalette([value for index in range(256) for value in (255 - index, index, 3)])
    np.testing.assert_array_equal(to_rgb(palette), np.stack([255 - RAMP, RAMP, np.full(HW, 3)], axis=2))
    transparent = np.dstack([grey, np.where(RAMP > 100, 255, 0).astype(np.uint8)])
    np.testing.assert_array_equal(to_rgb(Image.fromarray(transparent)), np.where(grey > 100, grey, 0))
    grey_alpha = Image.fromarray(np.dstack([RAMP, np.full(HW, 255, np.uint8)]), "LA")
    np.testing.assert_array_equal(to_rgb(grey_alpha), grey)
    with pytest.raises(ValueError, match="floating-point"):
        to_rgb(Image.fromarray(RAMP.astype(np.float32)))
    with pytest.raises(ValueError, match="32-bit"):
        to_rgb(Image.fromarray(RAMP.astype(np.int32) * 100000))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((*HW, 3), np.uint8)).save(tmp_path / "0.jpg", exif=exif)
    with open_source(tmp_path) as source:
        assert source.hw == HW[::-1]


def test_mixed_sizes_are_a_fault_that_names_frame_and_sizes(tmp_path: Path) -> None:
    save(tmp_path, "0.png")
    save(tmp_path, "1.png")
    save(tmp_path, "2.png", hw=(6, 9))
    with open_source(tmp_path) as source:
        frames = iter(source)
        assert next(frames).shape == next(frames).shape
        with pytest.raises(SourceFault, match="frame 2 is 9x6 but frame 0 is 8x6") as caught:
            next(frames)
    assert caught.value.frame_index == 2


@pytest.mark.parametrize(
    "content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(40)], ids=["empty", "text", "cut"]
)
def test_damaged_image(tmp_path: Path, content: bytes) -> None:
    save(tmp_path, "0.png")
    (tmp_path / "1.png").write_bytes(content)
    with open_source(tmp_path) as source, pytest.raises(SourceFault, match=r"1\.png: not a readable image") as caught:
        list(source)
    assert caught.value.frame_index == 1
    (tmp_path / "0.png").write_bytes(content)
    with pytest.raises(InputError, match=r"0\.png: not a readable image") as refused:
        open_source(tmp_path)
    assert not isinstance(refused.value, SourceFault)


def test_image_cut_in_the_middle_is_not_delivered(tmp_path: Path) -> None:
    save(tmp_path, "0.jpg")
    noise = np.random.default_rng(0).integers(0, 256, (*HW, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "1.jpg")
    whole = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole[:-60])
    with open_source(tmp_path) as source, pytest.raises(SourceFault):
        list(source)


def test_image_that_disappears_while_reading(tmp_path: Path) -> None:
    save(tmp_path, "0.png")
    save(tmp_path, "1.png")
    with open_source(tmp_path) as source:
        (tmp_path / "1.png").unlink()
        with pytest.raises(SourceFault, match="the image is gone"):
            list(source)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder without images"):
        open_source(tmp_path)
    with pytest.raises(InputError, match="No image matches"):
        open_source(tmp_path / "*.png")
    save(tmp_path, "0.png")
    with pytest.raises(InputError, match=r"is a single image.*give the folder"):
        open_source(tmp_path / "0.png")
