"""`fgvc-deploy train`: train an encoder from a TOML configuration.  The work is done by `fgvc_training`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fgvc_deploy.console import PLAIN_INTERVAL_S, Reporter
from fgvc_deploy.errors import BackendError, InputError, OutputError, Stopped

if TYPE_CHECKING:
    from fgvc_training.trainer.loop import Outcome

DEFAULT_FOLDER = "fgvc-train"


def train(
    config: Annotated[Path, typer.Argument(help="TOML file; training/configs has some, docs/training.md the keys.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default: fgvc-train/NAME.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder, exactly.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE instead of the file's, as training.steps=200.")
    ] = None,
    curve: Annotated[
        Path | None, typer.Option(help="Also draw losses and evaluations into this .svg or .png; needs matplotlib.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when done, nothing else.")] = False,
) -> None:
    """Train an encoder.

    Writes best.safetensors and final.safetensors for `fgvc-deploy export`, log.csv, eval.csv and checkpoints.  Ctrl-C
    and SIGTERM save and stop after the step in hand; `--resume` goes on as if nothing had happened.

    Example: `fgvc-deploy train training/configs/quick.toml`
    """
    try:
        if curve is not None:
            import matplotlib  # noqa: F401
        from fgvc_training.errors import TrainingError
        from fgvc_training.trainer.config import read_config
        from fgvc_training.trainer.curve import check_picture, draw_curve
        from fgvc_training.trainer.loop import train as run
    except ImportError as error:
        extra = "bench" if error.name == "matplotlib" else "train"
        raise BackendError(
            f"training needs the package {error.name}: run `pip install 'fgvc-deploy[{extra}]'`."
        ) from error
    folder = out or Path(DEFAULT_FOLDER) / config.stem
    # Of the processes that torchrun starts, only the first speaks.
    first = os.environ.get("RANK", "0") == "0"
    reporter = Reporter(quiet=quiet or not first, as_json=as_json and first)
    try:
        if curve is not None:
            check_picture(curve)
        with reporter.stages() as tell:
            outcome = run(read_config(config, set_ or ()), folder, _Watcher(reporter, tell), resume=resume)
        if curve is not None and first:
            draw_curve(folder, curve)
    except TrainingError as error:
        raise InputError(f"{error}.") from error
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be written ({error}): make room or choose another --out; --resume goes on from the "
            "last checkpoint."
        ) from error
    except KeyboardInterrupt:
        begun = (folder / "config.json").is_file()
        kept = f"--resume goes on from the last checkpoint in {folder}" if begun else "nothing had begun"
        raise Stopped(f"stopped at once; {kept}.", 130) from None
    if outcome.signal is not None and not first:
        raise typer.Exit(128 + outcome.signal)
    if outcome.signal is not None:
        raise Stopped(
            f"stopped after step {outcome.step}, which is saved in {folder}: to go on, give the same command with "
            "--resume.",
            128 + outcome.signal,
        )
    _tell_outcome(reporter, outcome)


class _Watcher:
    """Shows every step on a terminal and one line in ten seconds elsewhere."""

    def __init__(self, reporter: Reporter, tell: Callable[[str, float], None]) -> None:
        self._reporter, self._tell = reporter, tell
        self._every = 0.0 if reporter.console.is_terminal else PLAIN_INTERVAL_S
        self._next = 0.0

    def say(self, text: str) -> None:
        self._reporter.say(text)

    def progress(self, text: str, share: float) -> None:
        if time.monotonic() >= self._next or share == 1:
            self._tell(text, share)
            self._next = time.monotonic() + self._every


def _tell_outcome(reporter: Reporter, outcome: Outcome) -> None:
    weights = outcome.best or outcome.final
    reporter.say(f"trained {outcome.step} steps; next: fgvc-deploy export {weights} --out BUNDLE")
    paths = {"best": str(outcome.best) if outcome.best else None, "final": str(outcome.final)}
    reporter.result({"steps": outcome.step, **paths, "metrics": outcome.metrics})
