"""An int8 file with hardly any int8 in it is refused, in a sentence that says what to do."""

from __future__ import annotations

import re
from typing import Any

import onnx
import pytest

from fgvc_deploy.errors import ParityError
from fgvc_deploy.settings import PropagationSettings
from fgvc_export import lowered
from fgvc_export.lowered import USEFUL_SHARE, gpu_file
from fgvc_export.precision.recipe import Mixed
from fgvc_export.targets import Source
from toy_encoder import SETTINGS, toy_onnx


def source(precision: str) -> Source:
    return Source(Any, SETTINGS, PropagationSettings(), precision, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("precision", "share", "fine"), [("int8", 0.061, False), ("int8", 0.2, True), ("fp16", 0.0, True)]
)
def test_an_int8_file_needs_a_share_worth_having(
    monkeypatch: pytest.MonkeyPatch, precision: str, share: float, fine: bool
) -> None:
    class Recipes:
        def half(self) -> Mixed:
            return Mixed(onnx.load_from_string(toy_onnx()), (), share)

        int8 = half

    monkeypatch.setattr(lowered, "_recipes", lambda source: Recipes())
    if fine:
        assert len(gpu_file(source(precision))) > 1000
        assert USEFUL_SHARE == 0.2
        return
    said = "Only 6% of this encoder's multiply-adds can be int8 without changing its matches on the parity clip"
    with pytest.raises(ParityError, match=re.escape(said)):
        gpu_file(source(precision))
