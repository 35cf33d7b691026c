"""Encoders and engines on a real GPU: `make test-gpu`.  Skipped without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fgvc_deploy.bundle import Bundle
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.gpu.create import create_engine
from fgvc_deploy.gpu.names import ENCODERS, ENGINES
from fgvc_deploy.model import Model

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_on_the_gpu(real_bundle: Bundle, moving: NDArray[np.uint8], name: str) -> None:
    """Cosine of features with those of the CPU; fp16 engines round to 11 bits, TF32 convolutions likewise."""
    try:
        engine = create_engine(real_bundle, real_bundle.manifest.propagation, encoder=name)
    except (BackendError, BundleError) as error:
        pytest.skip(f"{name}: {error}")
    image = Model(real_bundle).engine("onnxruntime+numpy")
    x = image._preprocessor(moving[0], (192, 256))
    found, expected = engine.encoder.encode(x), image.encoder.encode(x)
    cosine = (found * expected).sum(2) / np.linalg.norm(found, axis=2) / np.linalg.norm(expected, axis=2)
    engine.session.close()
    assert cosine.min() > 0.999


@pytest.mark.parametrize("runtime", ENGINES)
def test_an_engine_is_built_once_and_then_read_from_the_cache(
    real_bundle: Bundle,
    runtime: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is built for a bundle that has an engine for this GPU."""
    monkeypatch.setenv("FGVC_CACHE", str(tmp_path))
    starts = []
    for _ in range(2):
        caplog.clear()
        try:
            engine = create_engine(real_bundle, real_bundle.manifest.propagation, encoder=runtime)
        except (BackendError, BundleError) as error:
            pytest.skip(f"{runtime}: {error}")
        x = np.random.default_rng(1).normal(size=(1, 3, 192, 256)).astype(np.float32)
        starts.append((len(caplog.messages), engine.encoder.encode(x)))
        engine.session.close()
    assert starts[1][0] == 0
    assert len(list(tmp_path.glob("*.engine"))) == starts[0][0]
    if runtime == "rtx":
        assert list(tmp_path.glob("*.jit")), "what TensorRT-RTX compiled is kept"
    np.testing.assert_allclose(starts[0][1], starts[1][1], atol=1e-2)
