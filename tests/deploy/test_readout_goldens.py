"""Read-outs against goldens e, f and g: the stored label maps must give the stored coordinates and masks.

No encoder and no propagation runs here.  Where the 5th and 6th best pixel of a map tie, the reference's choice is an
accident of NumPy's unstable sort (item 25), so its coordinate is compared with the nearest of all rightful choices;
our own choice may then differ by up to 0.6 px.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.labels import gaussian_maps
from fgvc_deploy.labels.keypoints import keypoint_maps
from fgvc_deploy.readout import read_full_maps, read_points, read_points_dense
from fgvc_deploy.readout.centroid import BestPixels, centroid
from fgvc_deploy.readout.masks import read_masks, resize_mask
from fgvc_deploy.readout.resample import MapTaps, half_pixel_taps, map_taps, resize_maps

# The reference forms its five weights and their sum in float32, we in float64: 6e-8 * 3 relative, times 128 px.
ROUNDING_PX = 2.5e-5
TIE = 1e-5  # relative difference of label values that counts as a tie
TIE_PX = 0.6


def _pixel_major(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(maps.reshape(len(maps), -1).T)


def _tie_aware(maps: NDArray[np.float32], expected: NDArray[np.floating]) -> tuple[float, int]:
    """Largest difference in px over P maps [P, H, W] from `expected` [P, 2], and how many maps had a tie."""
    worst, ties = 0.0, 0
    for plane, coordinate in zip(maps, expected, strict=True):
        ours = read_full_maps(plane[None], "reference").xy[0]
        difference = float(np.abs(ours - coordinate).max())
        flat = plane.reshape(-1)
        fifth = np.sort(flat)[-5]
        surely = np.flatnonzero(flat > fifth * (1 + TIE))
        candidates = np.flatnonzero(np.abs(flat - fifth) <= fifth * TIE)
        if fifth > 0 and len(surely) + len(candidates) > 5:
            assert difference <= TIE_PX
            ties += 1
            for choice in combinations(candidates, 5 - len(surely)):
                pixels = np.array([*surely, *choice])[None]
                xy = centroid(BestPixels(flat[pixels], pixels), plane.shape[1], "reference").xy[0]
                difference = min(difference, float(np.abs(xy - coordinate).max()))
        worst = max(worst, difference)
    return worst, ties


@pytest.mark.parametrize("case", ["full", "up", "zero", "rand"])
def test_coordinates_of_goldens_e(case: str, goldens: Any, parity: Any) -> None:
    e = goldens("e_gauss_coord")
    maps, expected = e[f"img2coord_in_{case}"], e[f"img2coord_out_{case}"].transpose(2, 1, 0)
    value, ties = _tie_aware(maps.reshape(-1, *maps.shape[2:]), expected.reshape(-1, 2))
    parity(group="e", case=f"img2coord.{case}", value=value, budget=ROUNDING_PX, unit="px", note=f"{ties} ties")


@pytest.mark.parametrize("clip", ["clip64", "clip128"])
def test_stored_label_maps_give_the_stored_tracks(clip: str, goldens: Any, parity: Any) -> None:
    f, gap = goldens(f"f_forward_test_{clip}"), goldens("f_readout_gaps")[f"{clip}.gap56"]
    queries, tracks = f["query_points_out"][0], f["traj_pred"][0]
    starts = queries[:, 0].astype(int)
    side = int(clip.removeprefix("clip"))
    difference = np.full(tracks.shape[:2], np.nan)
    all_ties = 0
    for start in np.unique(starts):
        points = np.flatnonzero(starts == start)
        drawn = gaussian_maps(queries[points, 1:], (side, side), 6.0)
        difference[start, points], ties = _tie_aware(drawn, tracks[start, points])
        all_ties += ties
        for step, maps in enumerate(f.get(f"seg_logits_t{start}", ())):
            frame = start + 1 + step
            labels = _pixel_major(maps)
            for read in (read_points, read_points_dense):
                xy = read(labels, maps.shape[1:], (side, side), 2, "reference").xy
                difference[frame, points] = np.abs(xy - tracks[frame, points]).max(axis=1)
    np.testing.assert_array_equal(np.isfinite(difference), np.arange(len(tracks))[:, None] >= starts)
    assert all_ties == np.count_nonzero(gap < TIE)
    value = np.nanmax(difference)
    parity(group="f", case=f"readout.{clip}", value=value, budget=ROUNDING_PX, unit="px", note=f"{all_ties} ties")


@pytest.mark.parametrize("case", ["stt_square24_p20", "stt_circle30_p5", "stt_circle30_p5_hard"])
def test_stored_logits_give_the_stored_masks(case: str, goldens: Any, parity: Any) -> None:
    g = goldens("g_vos_stt")
    logits, expected = g[f"{case}.seg_logits"], g[f"{case}.pred"]
    np.testing.assert_array_equal(resize_mask(g[f"{case}.ref_seg_map"], (96, 128)), expected[0])
    wrong = _wrong_pixels(logits, expected[1:], network_hw=(96, 128))
    parity(group="g", case=f"masks.{case}", value=wrong, budget=0, unit="pixels")


def test_masks_of_another_size_than_the_network(goldens: Any, parity: Any) -> None:
    """The 120x150 run has no stored logits, but its mask is that of `stt_circle30_p5` without object 3.

    Propagation is linear in the labels, so its background is that run's background plus its object 3.
    """
    g = goldens("g_vos_stt")
    with_3, without_3 = g["stt_circle30_p5.ref_seg_map"], g["stt_circle30_orig120x150.ref_seg_map"]
    np.testing.assert_array_equal(np.where(with_3 == 3, 0, with_3), without_3)
    logits = g["stt_circle30_p5.seg_logits"][:3, :3].copy()
    logits[:, 0] += g["stt_circle30_p5.seg_logits"][:3, 3]
    expected = g["stt_circle30_orig120x150.pred"]
    np.testing.assert_array_equal(resize_mask(without_3, (120, 150)), expected[0])
    wrong = _wrong_pixels(logits, expected[1:], network_hw=(96, 128))
    parity(group="g", case="masks.stt_circle30_orig120x150", value=wrong, budget=0, unit="pixels")


def test_masks_of_the_window_variant(goldens: Any, parity: Any) -> None:
    g = goldens("g_vos_hr")
    wrong = _wrong_pixels(g["seg_logits"], g["pred"][1:], network_hw=(32, 48))
    parity(group="g", case="masks.vos_hr", value=wrong, budget=0, unit="pixels")


def _wrong_pixels(logits: NDArray[np.float32], expected: NDArray[np.uint8], network_hw: tuple[int, int]) -> int:
    ids = np.arange(logits.shape[1], dtype=np.uint8)
    out_hw = (expected.shape[1], expected.shape[2])
    masks = [
        read_masks(_pixel_major(maps), ids, (maps.shape[1], maps.shape[2]), out_hw, 2, network_hw, "reference")
        for maps in logits
    ]
    return int(np.count_nonzero(np.stack(masks) != expected))


def test_keypoint_coordinates(goldens: Any, parity: Any) -> None:
    g = goldens("g_vos_stt")
    out_hw = (int(g["jhmdb.original_shape"][0]), int(g["jhmdb.original_shape"][1]))
    taps = MapTaps(half_pixel_taps(96, out_hw[0]), half_pixel_taps(128, out_hw[1]))
    first = resize_maps(keypoint_maps(g["jhmdb.kp_xy"].T, (96, 128)), taps)
    later = resize_maps(g["jhmdb.seg_logits"], map_taps((48, 64), out_hw, 2, (96, 128), "reference"))
    stored = g["jhmdb.maps_first2"]
    difference = max(np.abs(first - stored[0]).max(), np.abs(later[0] - stored[1]).max())
    parity(group="g", case="jhmdb.upsampled", value=difference, budget=1e-6, unit="label")
    xy = np.stack([read_full_maps(maps, "reference").xy for maps in (first, *later)])
    difference = np.abs(xy - g["jhmdb.coords"].transpose(2, 1, 0)).max()
    parity(group="g", case="jhmdb.coords", value=difference, budget=ROUNDING_PX, unit="px")
