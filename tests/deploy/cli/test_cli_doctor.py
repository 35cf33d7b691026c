"""`fgvc-deploy doctor`: the truth about this machine, and about a damaged bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fgvc_deploy.bundle.manifest import Artefact
from fgvc_deploy.cli.doctor import artefact_lines
from fgvc_deploy.model import DEFAULT_BUNDLE
from fgvc_kernels import native
from fgvc_kernels.native import library

Fgvc = Callable[..., Any]


def test_the_shipped_bundle_runs_here(fgvc: Fgvc) -> None:
    done = fgvc("doctor")
    assert done.code == 0
    assert "onnxruntime" in done.out
    assert "bundles/edge: edge_reduced, stride 4" in done.out


def test_json(fgvc: Fgvc) -> None:
    found = json.loads(fgvc("doctor", "--json").out)
    assert found["problem"] is None
    assert {b["name"] for b in found["backends"]} >= {"onnxruntime", "numpy"}
    assert found["packages"]["numpy"]


def test_a_missing_runtime_is_named_with_its_mend(fgvc: Fgvc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = fgvc("doctor")
    assert done.code == 2
    assert "pip install 'fgvc-deploy[cpu]'" in done.out


@pytest.mark.skipif(not native.available()[0], reason="the native kernel is not built")
def test_a_misspelt_instruction_set_is_named_with_the_right_ones(fgvc: Fgvc, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it was advised to install a compiler."""
    monkeypatch.setenv("FGVC_NATIVE_ISA", "avx-2")
    (line,) = [line for line in fgvc("doctor").out.splitlines() if "native" in line]
    assert "cannot run here: FGVC_NATIVE_ISA=avx-2 is set: " in line
    assert f"use one of {', '.join(native.isas())}, or unset the variable" in line
    assert "compiler" not in line


def test_a_missing_build_is_named_with_its_mend(fgvc: Fgvc, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(native.NativeUnavailableError) as missing:
        library._open(Path("nowhere"))
    monkeypatch.setattr(native, "available", lambda: (False, str(missing.value)))
    (line,) = [line for line in fgvc("doctor").out.splitlines() if "native" in line]
    assert "run `python -m fgvc_kernels.native.build` (it needs a C++ compiler" in line


def test_a_changed_file_is_named(fgvc: Fgvc, tmp_path: Path) -> None:
    shutil.copytree(DEFAULT_BUNDLE, tmp_path / "bundle")
    with (tmp_path / "bundle" / "encoder.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"x")
    done = fgvc("doctor", "bundle")
    assert done.code == 2
    assert "encoder.onnx" in done.out


def test_a_chips_kernels_share_a_line_and_other_files_have_their_own() -> None:
    def file(kind: str, target: str, path: str) -> Artefact:
        return Artefact.model_validate(
            {"kind": kind, "target": target, "path": path, "bytes": 2_000_000, "sha256": "0" * 64}
        )

    lines = artefact_lines(
        [
            file("encoder", "onnx", "encoder.onnx"),
            file("kernel", "cubin:sm_80", "kernels/sm_80/refine.cubin"),
            file("document", "cubin:sm_80", "kernels/sm_80/refine.json"),
            file("kernel", "cubin:sm_86", "kernels/sm_86/refine.cubin"),
            file("kernel", "plugin:sm_86", "plugins/sm_86/local_topk.ptx"),
        ]
    )
    assert lines == [
        "encoder.onnx: encoder onnx, 2.00 MB",
        "kernels/sm_80/: 2 kernel files for cubin:sm_80, 4.00 MB",
        "kernels/sm_86/: 1 kernel files for cubin:sm_86, 2.00 MB",
        "plugins/sm_86/local_topk.ptx: kernel plugin:sm_86, 2.00 MB",
    ]
