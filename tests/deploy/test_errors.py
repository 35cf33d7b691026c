"""Errors travel between processes: multiprocessing pickles what a worker raises."""

from __future__ import annotations

import copy
import pickle

import pytest

from fgvc_deploy import errors

ERRORS = [
    errors.SourceFault("frame 3 is damaged", 3),
    errors.Stopped("stopped with Ctrl-C", 130),
    *(kind("a sentence") for kind in errors.FgvcError.__subclasses__() if kind is not errors.Stopped),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling_and_copying(error: errors.FgvcError) -> None:
    for found in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(found) is type(error)
        assert str(found) == str(error)
        assert vars(found).items() >= vars(error).items()
