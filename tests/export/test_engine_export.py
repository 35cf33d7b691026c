"""One export with ONNX in three precisions and real TensorRT-RTX engines, each with its figure or "not run"."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fgvc_deploy.bundle import Bundle, ParityFigure, ParityNotRun, open_bundle
from fgvc_deploy.bundle.engine_key import EngineKey
from fgvc_deploy.errors import BackendError, InputError, ParityError
from fgvc_deploy.gpu.device import cuda_driver
from fgvc_deploy.gpu.engines.profiles import profile_for
from fgvc_export import engine_target, export_bundle, gates, onnx_fp32
from fgvc_export.targets import TARGETS, Choice, Source, build_files, chosen_targets
from toy_encoder import SETTINGS, toy_onnx

ExportOf = Callable[[str], Any]
needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is an optional builder"
)
CHIPS = ("sm_86", "sm_89", "sm_120")


@pytest.fixture
def known_fp32(exported: ExportOf, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Spare torch's exporter: the fp32 file of the same weights, built once in a session."""
    bundle = exported("edge_lite0").report.bundle
    content = bytes(bundle.read(bundle.find(kind="encoder")))
    monkeypatch.setattr(onnx_fp32, "_fp32_file", lambda source: content)
    return content


@needs_rtx
@pytest.mark.slow
def test_one_bundle_holds_every_precision_and_real_engines(known_fp32: bytes, tmp_path: Path) -> None:
    targets = ("onnx", "onnx:fp16", "qdq", "rtx", "rtx:sm_86:int8")
    export_bundle(None, tmp_path / "bundle", arch="edge_lite0", targets=targets)
    bundle = open_bundle(tmp_path / "bundle")
    for path, precision in (("encoder.onnx", "fp32"), ("encoder.fp16.onnx", "fp16"), ("encoder.qdq.onnx", "int8")):
        entry = next(artefact for artefact in bundle.manifest.artefacts if artefact.path == path)
        assert entry.precision == precision
        figures = {figure.figure: figure for figure in entry.parity if isinstance(figure, ParityFigure)}
        wanted = {"feature_cosine_min", "feature_error_max", "track_p95", "track_max"}
        assert set(figures) == wanted | ({"match_recall"} if precision != "fp32" else set())
        assert all(figure.passed for figure in figures.values())
    for chip, precision in (*((chip, "fp16") for chip in CHIPS), ("sm_86", "int8")):
        check_engine(bundle, chip, precision)
    card = bundle.read(bundle.find(kind="document", target="markdown")).decode()
    assert card.count("not run: no GPU") == 3 * 4


def check_engine(bundle: Bundle, chip: str, precision: str) -> None:
    entry = bundle.find(kind="engine", target=f"rtx:{chip}", precision=precision)
    assert entry.bytes > 500_000
    assert all(isinstance(figure, ParityNotRun) and figure.not_run == "no GPU" for figure in entry.parity)
    beside = next(a for a in bundle.manifest.artefacts if a.path == entry.path.replace(".engine", ".json"))
    key = EngineKey.parse(bundle.read(beside), beside.path)
    assert (key.chip, key.precision, f"engines/{key.stem}.engine") == (chip, precision, entry.path)
    target = "qdq" if precision == "int8" else "onnx"
    model = bundle.read(bundle.find(kind="encoder", target=target, precision=precision))
    assert key.model_sha256 == hashlib.sha256(model).hexdigest()
    # short:256 of a wide video.
    assert key.profile == profile_for("short:256")
    assert key.profile.takes((256, 455))


def test_the_file_behind_an_engine_passes_the_gate_once_or_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Choice] = []

    def gate(choice: Choice, *rest: Any) -> list[ParityFigure]:
        seen.append(choice)
        raise ParityError("too far")

    monkeypatch.setattr(gates, "encoder_gate", gate)
    monkeypatch.setattr(gates, "gpu_file", lambda source: toy_onnx())
    monkeypatch.setattr(engine_target, "build_engine", lambda *_: pytest.fail("an engine was built"))
    with pytest.raises(ParityError, match="too far"):
        export_bundle(None, tmp_path / "bundle", arch="edge_lite0", targets=("rtx:sm_86",))
    assert [(choice.row.name, choice.precision) for choice in seen] == [("onnx", "fp16")]
    assert list(tmp_path.iterdir()) == []
    shared: dict[str, Any] = {}
    source = toy_source("fp16", shared)
    gates.remember_gated(Choice(TARGETS["onnx"], "fp16"), source)
    gates.engine_gate(Choice(TARGETS["rtx:sm_89"], "fp16"), source, Any, lambda *_: None)  # type: ignore[arg-type]
    assert len(seen) == 1


def toy_source(precision: str, shared: dict[str, Any] | None = None) -> Source:
    files = {"onnx": toy_onnx(), **(shared or {})}
    return Source(Any, SETTINGS, Any, precision, {}, shared=files if shared is None else shared)  # type: ignore[arg-type]


def test_names_of_engines_on_the_command_line() -> None:
    def named(*names: str) -> list[str]:
        return [str(choice) for choice in chosen_targets(names, "fp32")]

    pytest.importorskip("tensorrt_rtx")
    assert named("rtx") == ["rtx:sm_86:fp16", "rtx:sm_89:fp16", "rtx:sm_120:fp16"]
    assert named("rtx:sm_89,sm_120") == ["rtx:sm_89:fp16", "rtx:sm_120:fp16"]
    assert named("rtx:sm_86:int8", "rtx:sm_86") == ["rtx:sm_86:int8", "rtx:sm_86:fp16"]
    assert named("qdq") == ["qdq:int8"]
    assert set(named("rtx:all")) == {f"rtx:{chip}:fp16" for chip in (*CHIPS, "sm_80", "sm_121")}
    with pytest.raises(InputError, match="no export target 'rtx:sm_87'"):
        named("rtx:sm_87")


def test_tensorrt_is_refused_in_a_sentence_without_it_or_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = Choice(TARGETS["tensorrt"], "fp32")
    monkeypatch.setattr(engine_target, "version", lambda runtime: "10.9")

    def no_gpu() -> Any:
        raise BackendError("No NVIDIA driver was found.")

    monkeypatch.setattr(cuda_driver, "open_driver", no_gpu)
    with pytest.raises(BackendError, match=r"^No NVIDIA driver was found\.$"):
        build_files(choice, toy_source("fp32"), lambda *_: None)
    if importlib.util.find_spec("tensorrt") is None:
        with pytest.raises(BackendError, match=r"Target tensorrt needs tensorrt, not installed .*,tensorrt\]"):
            chosen_targets(("tensorrt",), "fp32")


def test_an_engine_of_tensorrt_is_keyed_on_the_gpu_it_was_built_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Gpu:
        class info:  # noqa: N801
            name, compute_capability, driver_version, cuda = "Orin", (8, 7), 12060, "12.6"

        def release(self) -> None:
            released.append(True)

    released: list[bool] = []
    plans: list[Any] = []
    monkeypatch.setenv("FGVC_CACHE", str(tmp_path))
    monkeypatch.setattr(engine_target, "version", lambda runtime: "10.3.0")
    monkeypatch.setattr(cuda_driver, "open_driver", Gpu)

    def built(content: bytes, plan: Any) -> bytes:
        plans.append(plan)
        return b"engine"

    monkeypatch.setattr(engine_target, "build_engine", built)
    engine, beside = build_files(Choice(TARGETS["tensorrt"], "fp32"), toy_source("fp32"), lambda *_: None)
    key = EngineKey.parse(beside.content, "key")
    assert (engine.path, engine.content) == ("engines/sm_87-tensorrt10.3.0-fp32.engine", b"engine")
    assert (key.gpu, key.driver, key.cuda) == ("Orin", "12060", "12.6")
    assert key.model_sha256 == hashlib.sha256(toy_onnx()).hexdigest()
    assert plans[0].timing_cache == tmp_path / "sm_87-tensorrt10.3.0.timing"
    assert plans[0].chip is None
    assert released == [True]


@pytest.mark.parametrize(
    ("size", "usual"), [("native", (480, 854)), ("short:256", (256, 455)), ("256x320", (256, 320))]
)
def test_profiles_follow_the_bundles_default_size(size: str, usual: tuple[int, int]) -> None:
    profile = profile_for(size)
    assert profile.usual == usual
    assert profile.takes((32, 32))
    assert profile.takes((1280, 720))
    assert profile_for("2000x100").largest == (2000, 2000)
