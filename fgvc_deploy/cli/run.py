"""`fgvc-deploy run`: the options of the main job.  The job itself is in `fgvc_deploy.job`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fgvc_deploy.console import Reporter

WHAT = "What to track (give exactly one)"
HOW = "How"
OUTPUT = "Results"


def run(
    source: Annotated[
        str, typer.Argument(help="Video file, folder or glob of images, camera number, or rtsp:// / http:// address.")
    ],
    model: Annotated[Path | None, typer.Option(help="Bundle folder or .zip; default: the one shipped.")] = None,
    points: Annotated[
        Path | None,
        typer.Option(help="CSV with a header naming t, x, y, or .npy/.npz of queries.", rich_help_panel=WHAT),
    ] = None,
    grid: Annotated[
        int | None, typer.Option(min=1, help="N x N points spread over the frame.", rich_help_panel=WHAT)
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Palette or grey PNG of object ids, 0 = background.", rich_help_panel=WHAT)
    ] = None,
    keypoints: Annotated[
        Path | None, typer.Option(help="JSON of named keypoints, or a BADJA annotation.", rich_help_panel=WHAT)
    ] = None,
    query_frame: Annotated[
        int, typer.Option(min=0, help="Frame that the grid or the mask lies on.", rich_help_panel=WHAT)
    ] = 0,
    query_order: Annotated[
        Literal["tyx", "txy", "xyt"] | None,
        typer.Option(help="Columns of a .npy array of points; default: tyx.", rich_help_panel=WHAT),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="What the encoder sees: HxW, short:256 or native; default: the bundle's.", rich_help_panel=HOW
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(help="auto, one backend, or encoder+propagation; `doctor` lists them.", rich_help_panel=HOW),
    ] = "auto",
    compat: Annotated[
        Literal["corrected", "reference"],
        typer.Option(help="reference: bit for bit what the official code does.", rich_help_panel=HOW),
    ] = "corrected",
    mode: Annotated[
        Literal["local", "coarse-to-fine"] | None,
        typer.Option(help="Search the window, or coarse first; default: the bundle's.", rich_help_panel=HOW),
    ] = None,
    fine: Annotated[
        bool | None,
        typer.Option(
            "--fine/--no-fine", help="Refine points below a pixel; default: the bundle's.", rich_help_panel=HOW
        ),
    ] = None,
    bidirectional: Annotated[
        bool, typer.Option("--bidirectional", help="Also track backwards from the query frame.", rich_help_panel=HOW)
    ] = False,
    round_trip: Annotated[
        bool,
        typer.Option(
            "--round-trip",
            help="Also follow points back home: tells which tracks to trust, in two to three times the time.",
            rich_help_panel=HOW,
        ),
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads to use; default: all cores.", rich_help_panel=HOW)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the results; default: fgvc-out/NAME.", rich_help_panel=OUTPUT),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the folder if it is not empty.", rich_help_panel=OUTPUT)
    ] = False,
    overlay: Annotated[
        bool, typer.Option("--overlay/--no-overlay", help="Draw overlay.mp4.", rich_help_panel=OUTPUT)
    ] = True,
    codec: Annotated[
        str, typer.Option(help="Video codec of the overlay: h264, vp9, mpeg4, ...", rich_help_panel=OUTPUT)
    ] = "h264",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when done, nothing else.")] = False,
) -> None:
    """Track points, masks or keypoints through a video.

    Writes tracks.npz and tracks.csv (or masks/*.png), overlay.mp4 and run.json into a folder of its own.

    Example: `fgvc-deploy run bikes.mp4 --grid 8 --out out`
    """
    from fgvc_deploy.job import Job, run_job

    job = Job(
        source=source,
        model=model,
        points=points,
        grid=grid,
        mask=mask,
        keypoints=keypoints,
        query_frame=query_frame,
        query_order=query_order,
        size=size,
        backend=backend,
        compat=compat,
        mode=mode,
        fine=fine,
        bidirectional=bidirectional,
        round_trip=round_trip,
        threads=threads,
        out=out,
        overwrite=overwrite,
        overlay=overlay,
        codec=codec,
    )
    run_job(job, Reporter(quiet=quiet, as_json=as_json))
