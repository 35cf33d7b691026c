"""Engines of a bundle: which one fits, what mismatches, what doctor says.  Built ones: test_gpu_engine_cache.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fgvc_deploy.bundle import Bundle, Payload, write_bundle
from fgvc_deploy.bundle.engine_key import EngineKey, Profile
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.gpu.engines.cache import EngineCache
from fgvc_deploy.gpu.engines.choice import EngineSearch, ReadyEngine
from fgvc_deploy.gpu.engines.files import Here, engine_files
from fgvc_deploy.gpu.select import bundle_notes, states
from fgvc_deploy.settings import EncoderSettings, PropagationSettings
from gpu_bundles import gpu_draft
from gpu_handles import ORIN

ENCODER = EncoderSettings(arch="toy", stride=4, channels=32)
KEY = EngineKey(
    runtime="rtx",
    runtime_version="1.7.1",
    chip="sm_87",
    precision="fp16",
    model_sha256="0" * 64,
    profile=Profile(smallest=(64, 64), usual=(256, 256), largest=(480, 854)),
)
HERE = Here(ORIN, {"rtx": "1.7.1", "tensorrt": "10.3.0"})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineCache:
    monkeypatch.setenv("FGVC_CACHE", str(tmp_path / "cache"))
    return EngineCache()


def _bundle(folder: Path, *keys: EngineKey) -> Bundle:
    payloads = []
    for key in keys:
        path = f"engines/{key.stem}"
        payloads += [
            Payload("engine", key.runtime, f"{path}.engine", key.digest.encode(), key.precision),
            Payload("document", key.runtime, f"{path}.json", key.to_json()),
        ]
    return write_bundle(gpu_draft(ENCODER, PropagationSettings(), *payloads), folder / "bundle")


def _ready(bundle: Bundle, precision: str = "") -> ReadyEngine:
    found = EngineSearch(bundle, "rtx", HERE, precision).ready()
    assert found is not None
    return found


def test_the_engine_of_this_chip_is_taken(tmp_path: Path) -> None:
    other = KEY.model_copy(update={"chip": "sm_89"})
    bundle = _bundle(tmp_path, other, KEY)
    found = _ready(bundle)
    assert (found.key, found.content, found.cached) == (KEY, KEY.digest.encode(), False)
    assert len(engine_files(bundle)) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chip": "sm_89"}, "chip is sm_87, the engine was built for sm_89"),
        ({"runtime_version": "1.6"}, "runtime version is 1.7.1, the engine was built for 1.6"),
        ({"gpu": "RTX 4090"}, "gpu is Emulated Orin, the engine was built for RTX 4090"),
        ({"driver": "1"}, "driver is 13020, the engine was built for 1"),
        ({"cuda": "12.6"}, "cuda is 13.2, the engine was built for 12.6"),
    ],
)
def test_what_mismatches_is_said(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    search = EngineSearch(_bundle(tmp_path, KEY.model_copy(update=change)), "rtx", HERE)
    assert search.ready() is None
    with pytest.raises(BackendError, match=said) as caught:
        search.built()
    assert "`--target onnx`, or with `--target rtx:sm_87`" in str(caught.value)


def test_int8_only_when_asked_for(tmp_path: Path) -> None:
    keys = [KEY.model_copy(update={"precision": precision}) for precision in ("int8", "fp32", "fp16")]
    bundle = _bundle(tmp_path, *keys)
    assert _ready(bundle).key.precision == "fp16"
    assert _ready(bundle, "int8").key.precision == "int8"
    with pytest.raises(BackendError, match=r"no int8 tensorrt engine.*`--target qdq`, or on this machine with"):
        EngineSearch(bundle, "tensorrt", HERE, "int8").built()


def test_an_engine_without_its_key_is_refused(tmp_path: Path) -> None:
    draft = gpu_draft(ENCODER, PropagationSettings(), Payload("engine", "rtx", "engines/x.engine", b"x", "fp16"))
    with pytest.raises(BundleError, match="what it was built for"):
        engine_files(write_bundle(draft, tmp_path / "bundle"))


def test_doctor_lists_engines(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, KEY)
    notes = bundle_notes(bundle)
    assert notes[1].endswith("fp16 encoder for sm_87 with tensorrt_rtx 1.7.1, frames from 64x64 to 854x480")
    by_name = {state.name: state.reason for state in states(bundle)}
    assert by_name["rtx"] is not None
