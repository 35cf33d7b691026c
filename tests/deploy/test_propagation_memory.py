"""A whole propagation step at the reference's size (256 x 256 input) stays within its budget of memory and time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Features of 128 x 128 x 256, six key frames, radius 15, k 10, 64 points; measured in a process of its own.
STEP = """
import json, pathlib, sys, time
import numpy as np
from fgvc_deploy.propagation.base import Window
from fgvc_deploy.propagation.coarse_to_fine import CoarseToFineBackend
from fgvc_deploy.propagation.tiled import TiledBackend
from fgvc_deploy.propagation.weights import propagate, softmax_weights

backend = {"tiled": TiledBackend, "coarse_to_fine": CoarseToFineBackend}[sys.argv[1]](threads=2)
rng = np.random.default_rng(0)
frames = [backend.prepare(rng.random((128, 128, 256), dtype=np.float32)) for _ in range(6)]
labels = [rng.random((128 * 128, 64), dtype=np.float32) for _ in range(6)]
start = time.process_time()
query = backend.prepare(rng.random((128, 128, 256), dtype=np.float32))
matches = backend.match(query, frames, Window("circle", 15.0), 10)
maps = propagate(matches, softmax_weights(matches.scores, 0.07), labels)
assert np.isfinite(maps).all()
cpu_seconds = time.process_time() - start
# Not getrusage: on Linux a child inherits the peak of the process that started it.
peak_kb = int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
print(json.dumps([peak_kb / 1024, cpu_seconds]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["tiled", "coarse_to_fine"])
def test_budget(kind: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", STEP, kind]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    peak_mb, cpu_seconds = json.loads(output)
    assert peak_mb < 600
    # Four seconds on two cores; CPU seconds, because a busy machine must not fail the test.
    assert cpu_seconds < 8
