"""The table of targets: complete, and every wrong choice is refused by name with the list."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from fgvc_deploy.errors import BackendError, InputError
from fgvc_export import export_bundle
from fgvc_export.targets import TARGETS, chosen_targets


@pytest.mark.parametrize("name", list(TARGETS))
def test_each_row_is_complete(name: str) -> None:
    row = TARGETS[name]
    assert row.name == name
    assert row.file_name
    module = importlib.import_module(row.module)
    wanted = ("payloads",) if row.kind in ("kernel", "engine") else ("build", "run")
    assert all(callable(getattr(module, function)) for function in wanted)
    assert row.mend.startswith("pip install")


def test_chosen_rows_come_in_the_order_given() -> None:
    chosen = chosen_targets(("propagation", "onnx"), "fp32")
    assert [(row.name, precision) for row, precision in chosen] == [("propagation", "fp32"), ("onnx", "fp32")]


def test_several_chips_are_named_at_once_or_all_of_them() -> None:
    assert [str(choice) for choice in chosen_targets(("cubin:sm_87,sm_89", "onnx"), "fp32")] == [
        "cubin:sm_87:fp16",
        "cubin:sm_89:fp16",
        "onnx",
    ]
    assert len(chosen_targets(("cubin:all",), "fp32")) == 10
    assert chosen_targets(("cubin:sm_87:bf16",), "fp32")[0].precision == "bf16"


@pytest.mark.parametrize(
    ("targets", "precision", "message"),
    [
        (("onnx", "tpu"), "fp32", "no export target 'tpu'; choose from: onnx"),
        ((), "fp32", "No export target is given; choose from: onnx"),
        (("onnx", "onnx"), "fp32", "given twice in onnx, onnx"),
        (("cubin:all", "cubin:sm_87"), "fp32", "given twice in cubin:all, cubin:sm_87"),
        (("cubin:sm_75",), "fp32", "no export target 'cubin:sm_75'; choose from: onnx"),
        (("onnx",), "fp64", "Target onnx has no precision 'fp64'; choose from: fp32, fp16, int8"),
    ],
)
def test_wrong_choices_are_refused_before_any_work(
    targets: tuple[str, ...], precision: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        export_bundle(tmp_path / "no such checkpoint", tmp_path / "out", targets=targets, precision=precision)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(BackendError, match=r"Export needs onnxscript, not installed .* 'fgvc-deploy\[export\]'"):
        export_bundle(None, tmp_path / "out", arch="edge_lite0")
    with pytest.raises(BackendError, match="Target onnx needs onnxscript"):
        chosen_targets(("onnx",), "fp32")


def test_torch_is_imported_only_when_an_export_starts() -> None:
    code = "import sys, fgvc_export, fgvc_export.targets; print({'torch', 'onnx', 'onnxruntime'} & set(sys.modules))"
    paths = ":".join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": paths}
    )
    assert done.stdout == "set()\n"
