"""First masks: every common way to store object ids, and every way that cannot work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fgvc_deploy.errors import InputError
from fgvc_deploy.results.mask_file import read_mask
from fgvc_deploy.results.mask_writer import MaskWriter
from fgvc_deploy.results.palette import DAVIS_PALETTE

HW = (5, 7)
IDS = np.zeros(HW, np.uint8)
IDS[1:3, 1:4], IDS[3:, 4:] = 1, 3


def save(folder: Path, image: Image.Image, name: str = "mask.png") -> Path:
    image.save(folder / name)
    return folder / name


def palette_image(ids: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(ids)
    image.putpalette(DAVIS_PALETTE.tobytes())
    return image


def test_palette_of_davis() -> None:
    assert DAVIS_PALETTE[:5].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]
    # PASCAL VOC's person, television and void.
    assert DAVIS_PALETTE[[15, 20, 255]].tolist() == [[192, 128, 128], [0, 64, 128], [224, 224, 192]]
    assert len({tuple(colour) for colour in DAVIS_PALETTE.tolist()}) == 256


def test_palette_and_grey_images_hold_ids(tmp_path: Path) -> None:
    for image in (palette_image(IDS), Image.fromarray(IDS), Image.fromarray(IDS.astype(np.uint16))):
        labels = read_mask(save(tmp_path, image), HW)
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, IDS)


def test_black_and_white_is_one_object_255(tmp_path: Path) -> None:
    white = np.where(IDS > 0, np.uint8(255), np.uint8(0))
    grey_alpha = Image.fromarray(np.dstack([white, np.full(HW, 255, np.uint8)]), "LA")
    rgba = Image.fromarray(np.dstack([white, white, white, np.full(HW, 128, np.uint8)]))
    one_bit = Image.fromarray(white > 0)
    for image in (Image.fromarray(white), grey_alpha, one_bit):
        np.testing.assert_array_equal(read_mask(save(tmp_path, image), HW), white)
    np.testing.assert_array_equal(read_mask(save(tmp_path, rgba), HW), white > 0)


def test_colours_of_the_davis_palette_keep_their_ids(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_mask(save(tmp_path, Image.fromarray(DAVIS_PALETTE[IDS])), HW), IDS)


def test_other_colours_are_numbered(tmp_path: Path) -> None:
    rgb = np.zeros((*HW, 3), np.uint8)
    rgb[0], rgb[1], rgb[2] = (250, 1, 1), (2, 3, 4), (250, 1, 0)
    np.testing.assert_array_equal(read_mask(save(tmp_path, Image.fromarray(rgb)))[:, 0], [3, 1, 2, 0, 0])
    rgb[rgb.sum(axis=2) == 0] = (9, 9, 9)
    np.testing.assert_array_equal(read_mask(save(tmp_path, Image.fromarray(rgb)))[:, 0], [4, 1, 3, 2, 2])


def test_real_annotations(data_dir: Path) -> None:
    for path in sorted((data_dir / "davis16" / "Annotations" / "480p").glob("*/00000.png")):
        assert np.unique(read_mask(path, (480, 854))).tolist() == [0, 255]


def test_what_the_writer_writes_can_be_read(tmp_path: Path) -> None:
    writer = MaskWriter(tmp_path)
    masks = [IDS, IDS * 85, np.zeros(HW, np.uint8)]
    for labels in masks:
        writer.write(labels)
    writer.close()
    paths = sorted((tmp_path / "masks").iterdir())
    assert [path.name for path in paths] == ["00000.png", "00001.png", "00002.png"]
    for path, labels in zip(paths[:2], masks, strict=False):
        np.testing.assert_array_equal(read_mask(path, HW), labels)
        with Image.open(path) as image:
            assert image.mode == "P"
            assert image.getpalette() == DAVIS_PALETTE.ravel().tolist()


def test_another_size_than_the_frame(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is 7x5 but the frames are 9x5"):
        read_mask(save(tmp_path, palette_image(IDS)), (5, 9))


@pytest.mark.parametrize("mode", ["P", "L", "1", "RGB"])
def test_empty_mask(tmp_path: Path, mode: str) -> None:
    with pytest.raises(InputError, match="is empty: no pixel belongs to an object"):
        read_mask(save(tmp_path, Image.new(mode, HW[::-1])))


def test_too_many_objects(tmp_path: Path) -> None:
    ids = np.arange(400, dtype=np.uint16).reshape(20, 20)
    with pytest.raises(InputError, match="object ids up to 399; at most 255"):
        read_mask(save(tmp_path, Image.fromarray(ids)))
    photo = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="400 colours, like a photograph"):
        read_mask(save(tmp_path, Image.fromarray(photo)))
    photo.reshape(-1, 3)[255:] = 0
    assert read_mask(save(tmp_path, Image.fromarray(photo))).max() == 255


def test_lossy_compression(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a JPEG, whose compression blurs object ids; save it as PNG"):
        read_mask(save(tmp_path, Image.fromarray(IDS * 80), "mask.jpg"))


def test_no_image(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    with pytest.raises(InputError, match="There is no file"):
        read_mask(path)
    whole = save(tmp_path, palette_image(IDS)).read_bytes()
    for content in (b"", b"text", whole[:-30]):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"mask\.png is not a readable image"):
            read_mask(path)
    with pytest.raises(InputError, match="is a folder"):
        read_mask(tmp_path)
