"""The reference attention against goldens c: every `eff.*` and `v2.*` case."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_kernels.reference import AttentionOptions, attend, attend_batch, radius_of_range, window_mask

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
FLOAT32_SOFTMAX = 2e-6
# Un-normalised weights reach 200, outputs 1000: one float32 step there is 6e-5, and the golden is made of hundreds.
FLOAT32_UNNORMALISED = 2.3e-4

CASES = [
    *[
        f"eff.{name}"
        for name in ("circle30", "circle8", "square9", "nomask", "fewkeys", "dupfirst", "circle8_step512")
    ],
    *[f"eff.{name}" for name in ("circle8_topkNone", "circle8_nonorm", "circle8_l2", "circle8_cosine")],
    *[f"eff.{name}" for name in ("circle8_nonmask1", "circle30_nonmask1")],
    *[f"v2.{name}" for name in ("r4", "r15", "r4_topkNone", "r4_nonmask1_ignored")],
]


def options_of(meta: dict[str, Any]) -> AttentionOptions:
    return AttentionOptions(
        topk=meta["topk"],
        temperature=meta["temperature"],
        normalize=meta["normalize"],
        similarity="l2" if meta.get("sim_mode") == "l2-distance" else "dot",
        weighting="cosine" if meta.get("mode") == "cosine" else "softmax",
        # v2 ignores it (goldens item 9).
        non_mask_len=0 if meta["fn"].endswith("_v2") else meta.get("non_mask_len", 0),
    )


def channels_last(array: NDArray[Any], dtype: type[np.floating[Any]]) -> NDArray[Any]:
    return np.moveaxis(array, 1, -1).astype(dtype)


def run(golden: Mapping[str, NDArray[Any]], case: str, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    meta = json.loads(str(golden[f"{case}.meta"]))
    query, keys, labels = (channels_last(golden[f"{case}.{name}"], dtype) for name in "qkv")
    reach = meta.get("neighbor_range")
    radius = meta.get("radius", None if reach is None else radius_of_range(reach))
    hw = (query.shape[1], query.shape[2])
    mask = None if radius is None else window_mask(hw, meta.get("mask_mode", "circle"), radius)
    return attend_batch(query, keys, labels, mask, options_of(meta))


def test_every_stored_case_is_compared(goldens: Goldens) -> None:
    stored = {key.rsplit(".", 1)[0] for key in goldens("c_attention")}
    assert {name for name in stored if not name.startswith("c2f.")} == {*CASES, "eff.batch2"}
    assert len(stored) == 22


@pytest.mark.parametrize("case", CASES)
def test_parity(case: str, goldens: Goldens, parity: Callable[..., None]) -> None:
    golden = goldens("c_attention")
    expected = channels_last(golden[f"{case}.out"], np.float32)
    # Computed in float64 and stored as the golden is, so that only the golden's own rounding is left and the figure
    # does not depend on this machine's BLAS.  The un-normalised case is compared in the golden's own precision.
    unnormalised = case.endswith("_cosine")
    found = run(golden, case, np.float32 if unnormalised else np.float64).astype(np.float32)
    budget = FLOAT32_UNNORMALISED if unnormalised else FLOAT32_SOFTMAX
    parity(group="c", case=case, value=np.abs(found - expected).max(), budget=budget, unit="label")


def test_parity_of_the_first_batch_element(goldens: Goldens, parity: Callable[..., None]) -> None:
    golden = goldens("c_attention")
    expected = channels_last(golden["eff.batch2.out"], np.float32)[0]
    found = run(golden, "eff.batch2", np.float64)[0].astype(np.float32)
    difference = np.abs(found - expected).max()
    parity(group="c", case="eff.batch2[0]", value=difference, budget=FLOAT32_SOFTMAX, unit="label")


def test_the_second_batch_element_uses_its_own_labels(goldens: Goldens) -> None:
    golden = goldens("c_attention")
    found = run(golden, "eff.batch2", np.float64)
    query, keys, labels = (channels_last(golden[f"eff.batch2.{name}"], np.float64)[1] for name in "qkv")
    alone = attend(query, keys, labels, window_mask((9, 13), "circle", 4), AttentionOptions())
    np.testing.assert_array_equal(found[1], alone)


def test_parity_of_the_second_batch_element_with_the_defect(goldens: Goldens, parity: Callable[..., None]) -> None:
    """The golden's second element is reproduced by giving it the first one's labels (goldens item 13)."""
    golden = goldens("c_attention")
    query, keys, labels = (channels_last(golden[f"eff.batch2.{name}"], np.float64) for name in "qkv")
    mask = window_mask((9, 13), "circle", 4)
    defective = attend(query[1], keys[1], labels[0], mask, AttentionOptions())
    expected = channels_last(golden["eff.batch2.out"], np.float32)[1]
    difference = np.abs(defective.astype(np.float32) - expected).max()
    note = "with the labels of element 0, as the reference does"
    parity(group="c", case="eff.batch2[1]", value=difference, budget=FLOAT32_SOFTMAX, unit="label", note=note)
    assert np.abs(run(golden, "eff.batch2", np.float64)[1] - expected).max() > 0.1


def test_float32_inputs_stay_float32(goldens: Goldens) -> None:
    assert run(goldens("c_attention"), "eff.circle8", np.float32).dtype == np.float32
