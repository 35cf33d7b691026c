"""The suite has teeth: one-line faults in copies of the kernels, each of which a small check must notice.

A mutant is a copy of the package with one piece of text replaced.  The checks are those of the other files in short;
every one of them passes on an unchanged copy.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fgvc_kernels
from fgvc_deploy.propagation.base import FeatureMap
from fgvc_deploy.readout import read_points
from fgvc_deploy.readout.masks import read_masks
from fgvc_deploy.trackers.visibility import sample_features
from fgvc_kernels.reference import check_matches
from fgvc_kernels.reference.check import check_scores
from fgvc_kernels.reference.pooled_search import fine_candidates

PACKAGE = Path(fgvc_kernels.__file__).parent / "triton"
NAME = "mutated_kernels"
Frames = Callable[..., torch.Tensor]
HW = (4, 9)


def slots_of(*order: int) -> torch.Tensor:
    return torch.tensor(order, dtype=torch.int32)


def matches(frames: Frames) -> None:
    """Two frames, tile border, the pixel itself among the keys, one key that is NaN."""
    features = frames(0, 3, HW, dtype="float32")
    features[2] = features[0]
    features[1, 7] = torch.nan
    launch = load("local_topk").launch_local_topk
    found = launch(features[0], features[1:], slots_of(1, 0), HW, radius=2.0, topk=12, temperature=0.0)
    rows = features.double().nan_to_num(nan=-9.0).numpy()
    affinity = rows[0] @ np.concatenate([rows[2], rows[1]]).T
    y, x = np.divmod(np.arange(36), 9)
    near = (y[:, None] - y) ** 2 + (x[:, None] - x) ** 2 < 4
    allowed = np.concatenate([near, near & (np.arange(36) != 7)], axis=1)
    check_scores(found.values.numpy(), found.positions.numpy(), affinity, allowed, tolerance=5e-7)
    weights = launch(features[0], features[1:], slots_of(1, 0), HW, radius=2.0, topk=3).values
    expected = np.exp((np.sort(np.where(allowed, affinity, -np.inf))[:, :-4:-1] - 1) / 0.07)
    np.testing.assert_allclose(weights, expected / expected.sum(1, keepdims=True), rtol=0, atol=1e-5)


def carried(frames: Frames) -> None:
    positions = slots_of(*range(6)).reshape(3, 2)
    weights = torch.tensor([[0.25, 0.75], [0.0, 1.0], [0.5, 0.5]])
    labels = torch.arange(18.0).reshape(3, 3, 2)
    labels[2, 2] = torch.nan
    found = load("propagate").launch_propagate(positions, weights, labels, slots_of(2, 0))
    np.testing.assert_array_equal(found, [[13.5, 14.5], [0, 1], [3, 4]])


def merged(frames: Frames) -> None:
    features = frames(1, 3, HW)
    launch = load("local_topk").launch_local_topk
    arguments = (features[0], features[1:], slots_of(0, 1), HW)
    lists = launch(*arguments, radius=1.5, topk=3, temperature=0.0, frames_per_split=1)
    found = load("merge_topk").launch_merge_topk(lists, slots_of(1, 0), temperature=0.0)
    rows = features.double().numpy()
    check_matches(
        *(found.values.numpy(), found.positions.numpy(), rows[0], [rows[2], rows[1]], HW, "circle", 1.5, 3),
        tolerance=5e-7,
    )


def refined(frames: Frames) -> None:
    features = frames(2, 2, (5, 6))
    matched = slots_of(8, 7, 6, 5, 4, 3, 2, 1, 0).reshape(1, 9)
    launch = load("refine").launch_refine
    sizes: dict[str, Any] = {"scale": 2, "fine_radius": 1, "topk": 8, "temperature": 0.0}
    found = launch(features[0], features[1:], slots_of(0), matched, (5, 6), **sizes)
    rows = features.double().numpy()
    allowed = fine_candidates((5, 6), 2, 1, matched.numpy().T)
    check_scores(found.values.numpy(), found.positions.numpy(), rows[0] @ rows[1].T, allowed, tolerance=5e-7)


def unit(frames: Frames) -> None:
    features = torch.arange(96.0).reshape(16, 2, 3) - 40
    features[:, 0, 0] = 0
    found = load("normalise").launch_normalise(features, dtype=torch.float32)
    expected = torch.nn.functional.normalize(features.flatten(1).T, dim=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-7)


def read(frames: Frames) -> None:
    rng = np.random.default_rng(3)
    labels = rng.random((6 * 35, 3)).astype(np.float32) ** 6
    labels[:, 1] = 0.5
    # One feature: its pixel and four neighbours, one of them in the row of units above.
    labels[:, 2] = 0
    labels[3 * 35 + 10, 2] = 1
    found = load("readout_launch").launch_readout(torch.from_numpy(labels), (6, 35), (11, 70))
    expected = read_points(labels, (6, 35), (11, 70), 2)
    np.testing.assert_allclose(found.xy, expected.xy, rtol=0, atol=4e-6)
    np.testing.assert_array_equal(found.peak, expected.peak)


def masked(frames: Frames) -> None:
    ids = np.array([4, 1, 2, 3], np.uint8)
    labels = np.random.default_rng(4).random((5 * 20, 4)).astype(np.float32) ** 3
    labels *= np.array([1, 0.2, 0.03, 1], np.float32)
    labels[:, 3] = labels[:, 0]
    labels[:, 1] += np.float32(0.1)
    launch = load("argmax_masks_launch").launch_argmax_masks
    found = launch(torch.from_numpy(labels), torch.from_numpy(ids), (5, 20), (20, 40), (10, 40))
    np.testing.assert_array_equal(found, read_masks(labels, ids, (5, 20), (20, 40), 2, (10, 40)))


def judged(frames: Frames) -> None:
    """One point inside, one at the border of the map, one that vanished; two parts of the mass."""
    hw, features = (40, 30), frames(5, 2, (40, 30), dtype="float32")
    module, mass = load("appearance"), load("label_mass")
    labels = torch.rand((1200, 4), generator=torch.Generator().manual_seed(2))
    points = module.Points(torch.full((3, 2), torch.nan), torch.full((3, 16), torch.nan))
    before = torch.tensor([[13.5, 21.0], [200.0, 200.0], [30.5, 8.0]])
    after = torch.tensor([[14.25, 20.5], [58.5, 78.0], [torch.nan, torch.nan]])
    for frame, xy, first in ((0, before, True), (1, after, False)):
        parts = mass.launch_label_mass(labels)
        found = module.launch_appearance(features[frame], xy, parts, hw, points, stride=2, first=first)
    seen = [after[0], after[1], before[2]]
    looks = [
        sample_features(FeatureMap(hw, features[frame].numpy()), np.stack(xy) / 2)
        for frame, xy in ((0, [*before]), (1, seen))
    ]
    np.testing.assert_allclose(found.similarity, (looks[0] * looks[1]).sum(1), rtol=0, atol=5e-7)
    np.testing.assert_allclose(found.mass, labels.double().numpy()[:, :3].sum(0), rtol=1e-6)


CHECKS = [matches, carried, merged, refined, unit, read, masked, judged]
MUTATIONS = {
    "radius inclusive": (matches, "local_topk.py", "(measure < limit)", "(measure <= limit)"),
    "border key dropped": (matches, "local_topk.py", "(key_x < width)", "(key_x < width - 1)"),
    "border key wraps": (matches, "local_topk.py", "(key_x >= 0)", "(key_x >= -1)"),
    "query row off": (matches, "local_topk.py", "m // TILE_X", "(m + 1) // TILE_X"),
    "position of the next key": (matches, "local_topk.py", "* width + first_x +", "* width + 1 + first_x +"),
    "frames not counted": (matches, "local_topk.py", "codes // per_frame * pixels", "codes // per_frame"),
    "slot table ignored": (matches, "local_topk.py", "tl.load(slots + t)", "t"),
    "a frame forgotten": (matches, "local_topk.py", "in range(stop - start)", "in range(stop - start - 1)"),
    "no NaN guard": (matches, "streaming.py", "(scores * 0.5 +", "(tl.where(scores == scores, scores, 1.8) * 0.5 +"),
    "mask dropped": (matches, "streaming.py", "tl.where(allowed, (bits", "tl.where(bits == bits, (bits"),
    "candidate not blanked": (matches, "streaming.py", "== top[:, None], BLANK", "== top[:, None], packed - 1"),
    "largest replaced": (matches, "streaming.py", "worst = tl.min(best, axis=1)", "worst = tl.max(best, axis=1)"),
    "a key too many": (matches, "streaming.py", "tl.where(slot < K, slot -", "tl.where(slot < K - 1, slot -"),
    "temperature inverted": (matches, "streaming.py", "(1.0 / TEMPERATURE)", "TEMPERATURE"),
    "keys beyond the tile": (matches, "offsets.py", "(index[measure < limit]", "(index[measure < limit - 3]"),
    "weight 0 read": (carried, "propagate.py", "(weight != 0)", "(weight == weight)"),
    "label of the next pixel": (carried, "propagate.py", "(position - t * pixels)", "(position - t * pixels + 1)"),
    "list order": (merged, "merge_topk.py", "place * pixels", "(count - 1 - place) * pixels"),
    "last list lost": (merged, "merge_topk.py", "in range(count)", "in range(count - 1)"),
    "fine window too small": (refined, "refine.py", "centre_y[:, None]) <= FINE", "centre_y[:, None]) < FINE"),
    "centre left outside": (refined, "refine.py", "m // SCALE, height - 1)", "m // SCALE, height)"),
    "no square root": (unit, "normalise.py", "tl.sqrt_rn(tl.sum(x * x, axis=0))", "tl.sum(x * x, axis=0)"),
    "no epsilon": (unit, "normalise.py", "1e-12, propagate_nan", "0.0, propagate_nan"),
    "four pixels": (read, "readout.py", "tl.where(slot < COUNT, NO_KEY", "tl.where(slot < COUNT - 1, NO_KEY"),
    "index not reversed": (read, "readout.py", "out_width + x) ^ LAST)", "out_width + x))"),
    "a unit skipped": (read, "readout.py", "* SLACK >= key_value", "* 0.9 >= key_value"),
    "half a pixel": (read, "taps.py", "(index * (network / pixels) - 0.5)", "(index * (network / pixels))"),
    "bound without the next row": (read, "readout_bounds.py", "low + below", "low"),
    "no next column": (judged, "appearance.py", "tl.minimum(left + 1, width - 1)", "left"),
    "column and row mixed up": (judged, "appearance.py", "across = x - left", "across = y - top"),
    "a vanished point lost": (judged, "appearance.py", "if x != x:", "if x == x + 1:"),
    "not a unit vector": (judged, "appearance.py", "unit = mixed / length", "unit = mixed"),
    "half of the mass": (judged, "label_mass.py", "in range(ROUNDS)", "in range(ROUNDS // 2)"),
    "a part lost": (judged, "appearance.py", "mask=part < parts", "mask=part < parts - 1"),
    "no stretching": (masked, "argmax_masks.py", "value - low, high - low", "value, high"),
    "last class wins": (masked, "argmax_masks.py", "better = value > best", "better = value >= best"),
}


def load(module: str) -> Any:
    return importlib.import_module(f"{NAME}.{module}")


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """`plant(file, old, new)` makes the copy of the package importable with that text replaced."""
    shutil.copytree(PACKAGE, tmp_path / NAME, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.syspath_prepend(str(tmp_path))

    def replace(file: str, old: str, new: str) -> None:
        path = tmp_path / NAME / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} no longer says {old!r}: change the mutation"
        path.write_text(text.replace(old, new), encoding="utf-8")

    yield replace
    for name in [name for name in sys.modules if name.split(".")[0] == NAME]:
        del sys.modules[name]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.usefixtures("plant")
def test_the_unchanged_copy_passes(check: Callable[[Frames], None], frames: Frames) -> None:
    check(frames)


@pytest.mark.parametrize("name", MUTATIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_fault_is_noticed(name: str, plant: Callable[[str, str, str], None], frames: Frames) -> None:
    check, file, old, new = MUTATIONS[name]
    plant(file, old, new)
    with pytest.raises(AssertionError):
        check(frames)
