"""`auto` among encoders: the fastest that can run, never a lower precision; a precision by name."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.bundle import Bundle, BundleDraft, Payload, write_bundle
from fgvc_deploy.encoders import race, select
from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.encoders.race import fastest
from fgvc_deploy.engines import split_backend
from fgvc_deploy.errors import BackendError, BundleError, InputError
from fgvc_deploy.model import Model
from toy_encoder import SETTINGS, toy_onnx

Make = Callable[..., Bundle]


class Clock:
    """Time that passes only while a backend encodes."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Paced:
    """An encoder whose calls take the milliseconds given, then the last of them again."""

    def __init__(self, name: str, clock: Clock, *milliseconds: float) -> None:
        self.name = name
        self.calls = 0
        self._clock, self._times = clock, list(milliseconds)

    def encode(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self.calls += 1
        self._clock.now += 1e-3 * (self._times.pop(0) if len(self._times) > 1 else self._times[0])
        features: NDArray[np.float32] = x[0].transpose(1, 2, 0)
        return features


@pytest.mark.parametrize(
    ("times", "winner"),
    [
        ({"a": [1.0], "b": [0.5]}, "b"),
        ({"a": [0.5], "b": [1.0]}, "a"),
        ({"a": [1.0], "b": [0.97]}, "a"),
        ({"a": [1.0], "b": [0.8], "c": [0.78]}, "b"),
        ({"a": [1.0], "b": [0.97], "c": [0.7]}, "c"),
        ({"a": [9.0, 9.0, 1.0], "b": [2.0]}, "a"),
        ({"a": [1.0], "b": [1.0, 9.0, 0.8]}, "b"),
        ({"a": [1.0], "b": [1.0, 1.0, 0.8, 5.0, 0.8]}, "b"),
        ({"a": [1.0], "b": [1.0, 1.0, 1.2, 1.2, 0.1, 1.2]}, "a"),
        # A neighbour slows both down to a half, round by round; each round alone knows which is faster.
        ({"a": [1.0, 1.0, 3.0, 1.0, 2.0], "b": [1.0, 1.0, 2.4, 0.8, 1.6]}, "b"),
    ],
    ids=[
        "second",
        "first",
        "within the margin",
        "margin over the best",
        "third",
        "warm-up",
        "the second call touches new memory",
        "one call held up",
        "one lucky call",
        "load that comes and goes",
    ],
)
def test_the_fastest(times: dict[str, list[float]], winner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(race, "time", clock)
    backends = [Paced(name, clock, *milliseconds) for name, milliseconds in times.items()]
    assert fastest(backends).name == winner


@pytest.mark.parametrize(
    ("times", "calls"),
    [
        ([0.8], race.FEWEST_ROUNDS),
        ([1.0, 1.0, 1.1, 0.8, 0.8], race.MOST_ROUNDS),
        ([1000.0, 1000.0, 1100.0, 800.0, 800.0], race.FEWEST_ROUNDS),
    ],
    ids=["agreement", "doubt", "doubt that takes long"],
)
def test_rounds_go_on_while_they_disagree(times: list[float], calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(race, "time", clock)
    backends = [Paced("a", clock, 1000.0 if times[0] == 1000.0 else 1.0), Paced("b", clock, *times)]
    assert fastest(backends).name == "b"
    assert [backend.calls for backend in backends] == [race.WARM_UP + calls] * 2


@pytest.fixture
def make(bundle_draft: BundleDraft, tmp_path: Path) -> Make:
    """A bundle with encoders, given as (target, precision)."""

    def bundle(*encoders: tuple[str, str]) -> Bundle:
        payloads = tuple(Payload("encoder", t, f"{t}.{p}", toy_onnx(), p) for t, p in encoders)
        draft = dataclasses.replace(bundle_draft, encoder=SETTINGS, payloads=payloads)
        return write_bundle(draft, tmp_path / "made")

    return bundle


@pytest.fixture
def raced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the backends that took part in a race, which the last of them wins."""
    names: list[str] = []

    def last(backends: Any) -> EncoderBackend:
        names.extend(backend.name for backend in backends)
        winner: EncoderBackend = backends[-1]
        return winner

    monkeypatch.setattr(select, "fastest", last)
    return names


@pytest.fixture
def mnn_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNN as far as the table is concerned; what it computes is tested elsewhere."""
    make = select._make
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: find_spec("numpy" if name == "MNN" else name))
    monkeypatch.setattr(
        select, "_make", lambda entry, *rest: Paced("mnn", Clock(), 0) if entry.name == "mnn" else make(entry, *rest)
    )


@pytest.mark.usefixtures("mnn_runs")
def test_auto_lets_all_that_can_run_race(make: Make, raced: list[str]) -> None:
    assert select.create(make(("onnx", "fp32"), ("mnn", "fp32"))).name == "mnn"
    assert raced == ["onnxruntime", "mnn"]


@pytest.mark.usefixtures("mnn_runs")
def test_one_that_can_run_needs_no_race(make: Make, raced: list[str]) -> None:
    assert select.create(make(("onnx", "fp32"))).name == "onnxruntime"
    assert raced == []


def test_one_that_breaks_when_made_is_left_out(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(entry: select.EncoderEntry, *rest: Any) -> EncoderBackend:
        raise BackendError(f"{entry.name} has lost a library.")

    made = select._make
    bundle = make(("onnx", "fp32"), ("mnn", "fp32"))
    monkeypatch.setattr(select, "_obstacle", lambda *_: None)
    monkeypatch.setattr(
        select, "_make", lambda entry, *rest: (made if entry.name == "onnxruntime" else broken)(entry, *rest)
    )
    assert select.create(bundle).name == "onnxruntime"
    monkeypatch.setattr(select, "_make", broken)
    with pytest.raises(
        BackendError, match=r"No encoder .* onnxruntime has lost a library\. winograd: .* library\. mnn: mnn has"
    ):
        select.create(bundle)


def test_auto_never_takes_a_lower_precision(make: Make) -> None:
    with pytest.raises(BackendError, match="onnxruntime: the bundle has no fp32 onnx encoder"):
        Model(make(("onnx", "int8"))).engine("auto")


def test_a_precision_by_name(make: Make) -> None:
    model = Model(make(("onnx", "fp32"), ("onnx", "int8")))
    assert model.engine("onnxruntime:int8+numpy").encoder.name == "onnxruntime:int8"
    assert model.engine("onnxruntime").encoder.name == "onnxruntime"
    assert model.engine().encoder.name == "onnxruntime"


def test_a_precision_the_bundle_lacks(make: Make) -> None:
    with pytest.raises(BundleError, match=r"has no int8 onnx encoder \(of this kind it has: fp32 onnx\)"):
        Model(make(("onnx", "fp32"))).engine("onnxruntime:int8")


@pytest.mark.parametrize("name", ["numpy:int8", "auto:int8", "tpu:int8", ":int8"])
def test_only_a_named_encoder_has_a_precision(name: str) -> None:
    with pytest.raises(InputError, match=f"there is no backend '{name}'"):
        split_backend(name)
    assert split_backend("native+mnn:bf16") == ("mnn:bf16", "native")
