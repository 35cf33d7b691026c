"""Fixtures of the training tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tiny_task


@pytest.fixture(scope="module")
def tiny() -> Iterator[None]:
    """The task `tiny` of tests/support is known to the trainer."""
    with pytest.MonkeyPatch.context() as patch:
        tiny_task.register(patch)
        yield
