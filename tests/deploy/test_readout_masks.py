"""Label maps -> masks: placement, stretching, vanished classes, bands."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.labels.masks import mask_labels
from fgvc_deploy.readout import masks as masks_module
from fgvc_deploy.readout.masks import read_masks, resize_mask
from fgvc_deploy.readout.resample import map_taps, resize_maps
from fgvc_deploy.settings import Compat

both = pytest.mark.parametrize("compat", ["corrected", "reference"])


def _plain(
    labels: NDArray[np.float32], feature_hw: tuple[int, int], out_hw: tuple[int, int], floor: float, compat: Compat
) -> NDArray[np.intp]:
    """Goldens item 28 in a few lines, for stride 2 and even network sizes."""
    network_hw = (2 * feature_hw[0], 2 * feature_hw[1])
    maps = labels.T.reshape(-1, *feature_hw)
    full = resize_maps(maps, map_taps(feature_hw, out_hw, 2, network_hw, compat))
    for plane in full:
        if plane.max() > floor:
            plane[:] = (plane - plane.min()) / (plane.max() - plane.min() + np.float32(1e-12))
    winner: NDArray[np.intp] = full.argmax(axis=0)
    return winner


@both
@pytest.mark.parametrize("out_hw", [(48, 64), (61, 43), (480, 854)], ids=str)
def test_equals_the_plain_form(compat: Compat, out_hw: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).random((24 * 32, 5), dtype=np.float32)
    labels[:, 3] = 0
    ids = np.array([0, 4, 9, 20, 255], np.uint8)
    out = read_masks(labels, ids, (24, 32), out_hw, 2, (48, 64), compat)
    np.testing.assert_array_equal(out, ids[_plain(labels, (24, 32), out_hw, 0.0, compat)])


@both
def test_bands_do_not_show(compat: Compat, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(1).random((24 * 32, 3), dtype=np.float32)
    ids = np.arange(3, dtype=np.uint8)
    whole = read_masks(labels, ids, (24, 32), (101, 77), 2, (47, 64), compat)
    for pixels in (1, 77, 500):
        monkeypatch.setattr(masks_module, "_BAND_PIXELS", pixels)
        np.testing.assert_array_equal(read_masks(labels, ids, (24, 32), (101, 77), 2, (47, 64), compat), whole)


def _shifts(
    frame_hw: tuple[int, int], network_hw: tuple[int, int], stride: int, compat: Compat
) -> NDArray[np.float64]:
    """Movement (dy, dx) of the centres of 60 unmoved discs, labelled and read back, in frame pixels [60, 2]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: frame_hw[0], : frame_hw[1]]
    feature_hw = (-(-network_hw[0] // stride), -(-network_hw[1] // stride))
    shifts = np.empty((60, 2))
    for shift in shifts:
        centre = np.array(frame_hw) / 2 + rng.uniform(-8, 8, 2)
        disc = (np.hypot(y - centre[0], x - centre[1]) < 0.3 * min(frame_hw)).astype(np.uint8) * 7
        labels = mask_labels(disc, network_hw, stride, compat)
        out = read_masks(labels.labels, labels.ids, feature_hw, frame_hw, stride, network_hw, compat)
        assert set(np.unique(out)) == {0, 7}
        shift[:] = np.argwhere(out).mean(axis=0) - np.argwhere(disc).mean(axis=0)
    return shifts


@pytest.mark.parametrize(
    ("frame_hw", "network_hw", "stride", "tolerance"),
    [((96, 128), (96, 128), 2, 0.03), ((97, 121), (97, 121), 4, 0.08), ((200, 150), (66, 50), 2, 0.15)],
    ids=["stride2", "stride4", "source3x"],
)
def test_unmoved_masks_keep_their_place_in_corrected_mode(
    frame_hw: tuple[int, int], network_hw: tuple[int, int], stride: int, tolerance: float
) -> None:
    """Single discs land within about one percent of their size; the tolerance is 3 standard errors of the mean."""
    shifts = _shifts(frame_hw, network_hw, stride, "corrected")
    assert 3 * shifts.std(axis=0).max() / np.sqrt(60) <= tolerance
    np.testing.assert_allclose(shifts.mean(axis=0), 0, atol=tolerance)


def test_unmoved_masks_move_by_half_a_pixel_in_reference_mode() -> None:
    """Masks are read at image 2i + 1 and shown at 2i + 0.5 (goldens item 28)."""
    np.testing.assert_allclose(_shifts((96, 128), (96, 128), 2, "reference").mean(axis=0), -0.5, atol=0.03)


def test_a_faint_class_is_left_out_in_corrected_mode() -> None:
    labels = np.zeros((16 * 16, 2), np.float32)
    labels[:, 0] = 0.98
    labels[:8, 0] = 0.9
    labels[:8, 1] = 0.02
    arguments = (labels, np.array([0, 1], np.uint8), (16, 16), (32, 32), 2, (32, 32))
    assert (read_masks(*arguments) == 0).all()
    assert (read_masks(*arguments, compat="reference") == 1).any()
    assert (read_masks(*arguments, faint=0.01) == 1).any()


def test_an_all_zero_class_never_wins_over_a_label() -> None:
    labels = np.zeros((16 * 16, 3), np.float32)
    labels[:128, 1] = 1
    labels[128:, 2] = 1
    out = read_masks(labels, np.array([0, 3, 4], np.uint8), (16, 16), (32, 32), 2, (32, 32))
    assert set(np.unique(out)) == {3, 4}


@both
def test_background_where_nothing_is_left(compat: Compat) -> None:
    labels = np.zeros((16 * 16, 3), np.float32)
    assert (read_masks(labels, np.array([0, 3, 4], np.uint8), (16, 16), (32, 32), 2, (32, 32), compat) == 0).all()
    labels[:128, 1] = 1
    out = read_masks(labels, np.array([0, 3, 4], np.uint8), (16, 16), (32, 32), 2, (32, 32), compat)
    # Nothing speaks for the lower half: the reference gives a tie at 0 to the lowest class, here the background.
    assert set(np.unique(out)) == ({0, 3} if compat == "reference" else {3})


def test_without_normalisation_the_plain_labels_compete() -> None:
    labels = np.random.default_rng(3).random((16 * 16, 3), dtype=np.float32) * np.array([1, 0.8, 0.6], np.float32)
    out = read_masks(labels, np.arange(3, dtype=np.uint8), (16, 16), (32, 32), 2, (32, 32), normalise=False)
    full = resize_maps(labels.T.reshape(3, 16, 16), map_taps((16, 16), (32, 32), 2, (32, 32), "corrected"))
    np.testing.assert_array_equal(out, full.argmax(axis=0))


def test_input_is_left_alone() -> None:
    labels = np.random.default_rng(4).random((16 * 16, 3), dtype=np.float32)
    before = labels.copy()
    read_masks(labels, np.arange(3, dtype=np.uint8), (16, 16), (32, 32), 2, (32, 32))
    np.testing.assert_array_equal(labels, before)


def test_scratch_memory_is_bounded() -> None:
    """60 classes at 1080p: one full-size float map per class would take 498 MB."""
    labels = np.random.default_rng(5).random((32 * 57, 60), dtype=np.float32)
    ids = np.arange(60, dtype=np.uint8)
    tracemalloc.start()
    read_masks(labels, ids, (32, 57), (1080, 1920), 8, (256, 455), normalise=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6


@pytest.mark.parametrize("out_hw", [(48, 64), (120, 150), (17, 9)], ids=str)
def test_nearest_resize_reads_floor(out_hw: tuple[int, int]) -> None:
    mask = np.random.default_rng(6).integers(0, 256, (96, 128), dtype=np.uint8)
    expected = [[mask[i * 96 // out_hw[0], j * 128 // out_hw[1]] for j in range(out_hw[1])] for i in range(out_hw[0])]
    np.testing.assert_array_equal(resize_mask(mask, out_hw), expected)
