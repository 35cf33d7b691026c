"""The public names and the command line are a promise: whoever changes one changes this file and the CHANGELOG."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import typer.main

import fgvc_deploy
from fgvc_deploy.cli.app import app

NAMES = [
    "BackendError",
    "Bundle",
    "BundleError",
    "CheckpointError",
    "FgvcError",
    "InputError",
    "MaskTracker",
    "Model",
    "OutputError",
    "ParityError",
    "PointStep",
    "PointTracker",
    "PropagationSettings",
    "SourceFault",
    "Tracks",
    "load",
    "open_bundle",
]

OPTIONS = {
    "run": "--backend --bidirectional --codec --compat --fine --grid --json --keypoints --mask --mode --model "
    "--no-fine --no-overlay --out --overlay --overwrite --points --query-frame --query-order --quiet "
    "--round-trip --size --threads -q source",
    "export": "--arch --json --out --overwrite --parity-clip --precision --quiet --target -q checkpoint",
    "eval": "--backend --compat --fresh --json --model --out --overlays --query-mode --quiet --root --round-trip "
    "--sequence --set --size --split --threads --year -q dataset",
    "train": "--curve --json --out --quiet --resume --set -q config",
    "doctor": "--json bundle",
    "bench latency": "--backend --dense --fresh --model --no-dense --out --quick --quiet --rounds --threads -q",
    "bench kernels": "--dense --fresh --isas --no-dense --out --quick --quiet --rounds --static --threads -q",
    "bench accuracy": "--compat --dataset --model --out --page --propagation --quiet --root --threads -q",
    "bench compare": "--json --model --no-steps --quiet --rounds --steps --threads -q base",
    "bench report": "--quiet -q folder",
}

METHODS = {
    "Model": ["engine", "mask_tracker", "point_tracker", "track", "track_masks"],
    "PointTracker": [
        "add_points",
        "encode",
        "evidence",
        "frame_index",
        "ids",
        "network_hw",
        "open",
        "pixel_map",
        "remove_points",
        "renewed",
        "settings",
        "step",
        "step_features",
    ],
    "MaskTracker": ["encode", "frame_index", "network_hw", "open", "renewed", "step", "step_features"],
}


def test_public_names() -> None:
    assert sorted(fgvc_deploy.__all__) == NAMES
    assert dir(fgvc_deploy) == NAMES
    for name in NAMES:
        assert inspect.getdoc(getattr(fgvc_deploy, name)), name


def test_public_methods() -> None:
    for name, methods in METHODS.items():
        found = [m for m in vars(getattr(fgvc_deploy, name)) if not m.startswith("_")]
        assert sorted(found) == methods, name


# Typer carries its own copy of click, so its classes cannot be named here.
def _commands() -> dict[str, Any]:
    """Every command by its words: `run`, `bench latency`."""
    found: dict[str, Any] = {}
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        inner = getattr(command, "commands", None)
        found |= {name: command} if inner is None else {f"{name} {verb}": inner[verb] for verb in inner}
    return found


def _options(command: Any) -> str:
    return " ".join(sorted(name for p in command.params for name in [*p.opts, *p.secondary_opts]))


def test_command_line() -> None:
    assert {name: _options(command) for name, command in _commands().items()} == OPTIONS


def test_every_option_is_explained() -> None:
    for verb, command in _commands().items():
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{verb}: {parameter.name}"


def test_help_needs_nothing_heavy() -> None:
    """`--help` must stay quick: no video library, no runtime, no torch."""
    heavy = ["torch", "triton", "onnx", "onnxruntime", "av", "cv2", "PIL", "matplotlib"]
    code = f"import sys; import fgvc_deploy.cli.app; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]", found.stdout


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(fgvc_deploy, "no_such_name")
