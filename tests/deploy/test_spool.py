"""The temporary file of frames."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from fgvc_deploy.errors import OutputError
from fgvc_deploy.spool import FrameSpool


def test_frames_come_back_in_both_orders() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (5, 7, 9, 3), np.uint8)
    with FrameSpool() as spool:
        assert len(list(spool.record(frames[:, ::-1]))) == len(spool) == 5
        np.testing.assert_array_equal(np.stack(list(spool.forward())), frames[:, ::-1])
        np.testing.assert_array_equal(np.stack(list(spool.backward())), frames[::-1, ::-1])


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full takes what fits the buffer and then answers as a full disk does."""
    full = Path("/dev/full").open("w+b", buffering=1000)  # noqa: SIM115  closed by the spool
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
    with FrameSpool() as spool, pytest.raises(OutputError, match=r"No space left.*TMPDIR"):
        list(spool.record(np.zeros((9, 64, 64, 3), np.uint8)))
