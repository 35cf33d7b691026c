"""pytest-benchmark of the stages of a tracker step: `pytest benchmarks/test_bench_stages.py --benchmark-enable`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from fgvc_benchmarks.inputs import grid_points, scene
from fgvc_benchmarks.subjects.tracker import TrackerStep, encoder_figure, set_up
from fgvc_deploy.encoders.select import ENCODER_BACKENDS
from fgvc_deploy.encoders.select import create as create_encoder
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.labels.gaussian import gaussian_labels
from fgvc_deploy.preprocess import Preprocessor
from fgvc_deploy.readout.points import read_points
from fgvc_deploy.readout.points_dense import read_points_dense
from fgvc_deploy.settings import PreprocessSettings

SIZE = (256, 256)
# Linear RGB to CIE XYZ of sRGB's primaries, and its white, as OpenCV's colour conversion has them.
XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = np.array([0.950456, 1.0, 1.088754])
# OpenCV's float Lab differs from the definition by up to 0.43 units (`preprocess/lab.py`); that we equal OpenCV is in
# tests/deploy.  Swapped channels or a missing gamma curve are off by 0.1 and more.
LAB_BUDGET = 0.43 / 50


def lab_planes(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(Lab - (50, 0, 0)) / (50, 127, 127) in float64, planes first, from the definition of CIE Lab."""
    colour = rgb / 255.0
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    ratio = linear @ XYZ.T / WHITE
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    lab = np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])])
    return np.asarray((lab - np.array([50, 0, 0])[:, None, None]) / np.array([50, 127, 127])[:, None, None])


def params(bundle_path: Path, points: int = 5) -> dict[str, Any]:
    return {"bundle": str(bundle_path), "size": list(SIZE), "points": points, "settings": {}, "backend": "auto"}


@pytest.mark.parametrize("source", [SIZE, (480, 854)], ids=["same size", "480p"])
def test_preprocess(source: tuple[int, int], benchmark: BenchmarkFixture) -> None:
    frame, small = next(scene(source)), next(scene(SIZE))
    preprocess = Preprocessor(PreprocessSettings())
    assert np.abs(preprocess(small, SIZE)[0] - lab_planes(small)).max() < LAB_BUDGET
    image = benchmark(preprocess, frame, SIZE)
    assert image.shape == (1, 3, *SIZE)


@pytest.mark.parametrize("name", [entry.name for entry in ENCODER_BACKENDS])
def test_encode(name: str, bundle_path: Path, threads: int, benchmark: BenchmarkFixture) -> None:
    setup = set_up(params(bundle_path), threads)
    try:
        encoder = create_encoder(setup.model.bundle, name, threads=threads)
    except (BackendError, BundleError) as error:
        pytest.skip(str(error))
    figure = encoder_figure(encoder, setup, threads=1)
    assert figure.passed, figure
    image = Preprocessor(setup.engine.preprocess_settings)(next(scene(SIZE)), SIZE)
    benchmark(encoder.encode, image)


@pytest.mark.parametrize("points", [1, 5, 64, 1024])
def test_readout(points: int, benchmark: BenchmarkFixture) -> None:
    labels = gaussian_labels(grid_points(SIZE, points), SIZE, 6.0, stride=2)
    arguments = (labels, (128, 128), SIZE, 2)
    expected, found = read_points_dense(*arguments), read_points(*arguments)
    np.testing.assert_allclose(found.xy, expected.xy, rtol=0, atol=1e-9)
    benchmark(read_points, *arguments)


@pytest.mark.parametrize("points", [1, 5, 256])
def test_whole_step(points: int, bundle_path: Path, threads: int, benchmark: BenchmarkFixture) -> None:
    subject = TrackerStep(params(bundle_path, points), threads)
    wrong = [figure for figure in subject.check() if not figure.passed]
    assert not wrong
    benchmark.extra_info.update(subject.facts)
    benchmark(subject.run)
