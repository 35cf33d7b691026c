"""The native backend: parity with the goldens' attention, screening on and off, what it keeps beside a frame."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.errors import BackendError
from fgvc_deploy.propagation.base import CarriesLabels, FeatureMap, Window
from fgvc_deploy.propagation.native import NativeBackend, PackedFrame, mean_feature
from fgvc_kernels import native
from fgvc_kernels.reference import check_matches

AVAILABLE, REASON = native.available()
if not AVAILABLE and os.environ.get("FGVC_REQUIRE_NATIVE") == "1":
    raise RuntimeError(REASON)
pytestmark = pytest.mark.skipif(not AVAILABLE, reason=REASON)

SCREENING = next((isa for isa in native.isas() if native.screens(isa)), "portable") if AVAILABLE else "portable"
PRECISIONS = ["fp32", "bf16"]
# Cases of goldens c that are the default mode: circle or square window, top-k, softmax, one query frame.
ATTENTION = ["circle30", "circle8", "square9", "circle8_step512", "nomask", "fewkeys", "dupfirst"]
ATTENTION = [f"eff.{case}" for case in ATTENTION] + ["v2.r15", "v2.r4"]
WINDOW = Window("circle", 4.5)

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]


def backend(precision: Any = "bf16", **options: Any) -> NativeBackend:
    return NativeBackend(precision=precision, isa=SCREENING, **options)


def frames(count: int, channels: int = 24, seed: int = 0, shift: float = 1.0) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    common = shift * rng.random(channels)
    return [np.maximum(common + rng.normal(0, 0.5, (11, 13, channels)), 0).astype(np.float32) for _ in range(count)]


def window_of(meta: dict[str, Any]) -> Window:
    if "radius" in meta:
        return Window("circle", meta["radius"])
    if meta["neighbor_range"] is None:
        return Window("circle", np.inf)
    return Window(meta["mask_mode"], meta["neighbor_range"] // 2)


def channels_last(stacked: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """[C, T, H, W] as T arrays [H, W, C]."""
    return [np.ascontiguousarray(np.moveaxis(frame, 0, -1)) for frame in np.moveaxis(stacked, 1, 0)]


def check(query: FeatureMap, keys: list[FeatureMap], found: Any, topk: int = 10) -> None:
    units = [key.unit for key in keys]
    check_matches(found.scores, found.positions, query.unit, units, query.hw, *WINDOW, topk, tolerance=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", ATTENTION)
def test_parity_with_the_goldens(case: str, precision: str, goldens: Goldens, parity: Callable[..., None]) -> None:
    stored = goldens("c_attention")
    query, keys, values = (stored[f"{case}.{name}"][0] for name in ("q", "k", "v"))
    meta = json.loads(str(stored[f"{case}.meta"]))
    made = backend(precision)
    first, *others = [made.prepare(frame) for frame in channels_last(np.concatenate([query[:, None], keys], axis=1))]
    found = made.match(first, others, window_of(meta), meta["topk"])
    labels = [frame.reshape(-1, frame.shape[-1]) for frame in channels_last(values)]
    carried = made.carry(found, labels, meta["temperature"])
    expected = np.moveaxis(stored[f"{case}.out"][0], 0, -1).reshape(carried.shape)
    difference = float(np.abs(carried - expected).max())
    # float32 against float32: what the NumPy restatement of the goldens README allows itself too.
    parity(group="c", case=f"native {precision} {case}", value=difference, budget=2e-6, unit="label")


@pytest.mark.parametrize("channels", [24, 20, 3])
def test_precisions_agree_and_any_width_works(channels: int) -> None:
    raw = frames(4, channels)
    found = {}
    for precision in PRECISIONS:
        made = backend(precision)
        query, *keys = [made.prepare(array) for array in raw]
        found[precision] = made.match(query, keys, WINDOW, 10)
        check(query, keys, found[precision])
    np.testing.assert_array_equal(found["fp32"].scores, found["bf16"].scores)


def test_a_cut_moves_the_centre_and_changes_no_score() -> None:
    before, after = frames(2, seed=1), frames(2, seed=2, shift=9.0)
    made = backend()
    old = [made.prepare(array) for array in before]
    new = [made.prepare(array) for array in after]
    assert isinstance(old[0].packed, PackedFrame)
    assert isinstance(new[0].packed, PackedFrame)
    assert old[0].packed.half.centre is old[1].packed.half.centre
    assert old[0].packed.half.centre is not new[0].packed.half.centre
    found = made.match(new[1], [old[0], old[1], new[0]], WINDOW, 10)
    check(new[1], [old[0], old[1], new[0]], found)
    assert old[0].packed.half.centre is new[0].packed.half.centre, "the old frame was not packed again"


def test_frames_of_another_backend_are_packed_on_the_way() -> None:
    raw = frames(3)
    plain = [backend("fp32").prepare(array) for array in raw]
    check(plain[0], plain[1:], backend().match(plain[0], plain[1:], WINDOW, 10))


def test_one_key_frame_at_a_time_gives_that_frame_s_list() -> None:
    made = backend()
    query, *keys = [made.prepare(array) for array in frames(3)]
    for key in keys:
        check(query, [key], made.match(query, [key], WINDOW, 10))


def test_the_mean_leaves_out_what_is_not_finite() -> None:
    unit = np.ones((5, 8), np.float32)
    unit[2, 3] = np.nan
    np.testing.assert_array_equal(mean_feature(unit), np.ones(8, np.float32))
    assert not mean_feature(np.full((5, 8), np.nan, np.float32)).any()


def test_it_carries_labels() -> None:
    assert isinstance(backend(), CarriesLabels)


def test_what_it_cannot_do_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match="cannot use sse9 here"):
        NativeBackend(isa="sse9")
    monkeypatch.setenv("FGVC_NATIVE_ISA", "sse9")
    with pytest.raises(BackendError, match="No native kernels for 'sse9'"):
        NativeBackend()
    monkeypatch.delenv("FGVC_NATIVE_ISA")
    for isa in set(native.isas()) - {name for name in native.isas() if native.screens(name)}:
        with pytest.raises(BackendError, match="no bf16 engine"):
            NativeBackend(isa=isa, precision="bf16")
        assert not NativeBackend(isa=isa).screened
