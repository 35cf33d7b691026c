"""The repository's coarse-to-fine attention against goldens c: every `c2f.*` case."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_kernels.reference import AttentionOptions, attend_coarse_to_fine, radius_of_range, window_mask

Goldens = Callable[[str], Mapping[str, NDArray[Any]]]
CASES = ("c2f.mask_r2", "c2f.mask_nonmask1_r2", "c2f.nomask_r3", "c2f.mask_r2_step16_cos")


def test_every_stored_case_is_compared(goldens: Goldens) -> None:
    stored = {key.rsplit(".", 1)[0] for key in goldens("c_attention")}
    assert {name for name in stored if name.startswith("c2f.")} == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_parity(case: str, goldens: Goldens, parity: Callable[..., None]) -> None:
    golden = goldens("c_attention")
    meta = json.loads(str(golden[f"{case}.meta"]))
    cosine = meta.get("mode") == "cosine"
    # Softmax in float64, un-normalised weights in the golden's own float32: see test_reference_attention.py.
    dtype = np.float32 if cosine else np.float64
    names = ("q", "k", "q_fine", "k_fine", "v")
    query, keys, query_fine, keys_fine, labels = (
        np.moveaxis(golden[f"{case}.{name}"][0], 0, -1).astype(dtype) for name in names
    )
    options = AttentionOptions(
        topk=meta["topk"],
        temperature=meta["temperature"],
        normalize=meta["normalize"],
        weighting="cosine" if cosine else "softmax",
        non_mask_len=meta.get("non_mask_len", 0),
    )
    reach = meta["neighbor_range"]
    mask = None if reach is None else window_mask(query.shape[:2], meta["mask_mode"], radius_of_range(reach))
    found = attend_coarse_to_fine((query, keys), (query_fine, keys_fine), labels, meta["radius_fine"], mask, options)
    expected = np.moveaxis(golden[f"{case}.out"][0], 0, -1)
    difference = np.abs(found.astype(np.float32) - expected).max()
    parity(group="c", case=case, value=difference, budget=2.3e-4 if cosine else 2e-6, unit="label")
