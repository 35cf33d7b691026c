"""A small real video file, made on the spot, and a way to run the command line as a person would."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from fgvc_deploy.cli.app import main
from fgvc_deploy.video.writer import VideoWriter

FRAMES = 8


class Outcome(NamedTuple):
    """Exit code and what was printed."""

    code: int
    out: str
    err: str


Fgvc = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Ctrl-C reaches the tests and their child processes, also where the suite itself runs in the background."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture
def fgvc(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fgvc:
    """`fgvc("run", path, "--grid", 4)` -> Outcome, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Outcome:
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capfd.readouterr()
        return Outcome(code, printed.out, printed.err)

    return call


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight H.264 frames of 96x64: smooth noise that moves 2 pixels right every frame."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(64, 96 + 2 * FRAMES, 3))
    for _ in range(3):
        noise = noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)
    noise = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with VideoWriter(path, 25.0, (64, 96), "h264") as writer:
        for t in range(FRAMES):
            first = 2 * (FRAMES - t)
            writer.write(np.ascontiguousarray(noise[:, first : first + 96]))
    return path
