"""`fgvc-deploy`: the verbs, and how errors become exit codes.

Exit codes: 0 done; 2 wrong usage or bad input, in one sentence; 1 an unexpected error; 128 + number stopped by a
signal (130 Ctrl-C, 143 SIGTERM), as shells count.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fgvc_deploy.cli import doctor, export, run, train
from fgvc_deploy.cli.bench import bench
from fgvc_deploy.cli.eval import evaluate
from fgvc_deploy.errors import FgvcError, Stopped

_CTRL_C = 130

app = typer.Typer(
    name="fgvc-deploy",
    help="Track points, masks and keypoints in a video with a trained FGVC encoder, on any machine.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("export")(export.export)
app.command("eval")(evaluate)
app.command("train")(train.train)
app.command("doctor")(doctor.doctor)
app.add_typer(bench)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"fgvc-deploy {version('fgvc-deploy')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the command `fgvc-deploy`; `arguments` replaces sys.argv[1:]."""
    try:
        app(arguments)
    except FgvcError as error:
        print(f"fgvc-deploy: {error}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, Stopped) else 2)
    except SystemExit as stop:
        # What Typer makes of a KeyboardInterrupt; it says nothing.
        if stop.code == _CTRL_C:
            print("fgvc-deploy: stopped; nothing is kept.", file=sys.stderr)
        raise
