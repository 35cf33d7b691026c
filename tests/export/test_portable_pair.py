"""The two ONNX files of a bundle are all it takes to track: nothing but NumPy and a runtime of ONNX beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from fgvc_deploy.bundle import Bundle
from fgvc_deploy.labels.gaussian import gaussian_labels
from fgvc_deploy.model import Model
from fgvc_deploy.preprocess.preprocess import Preprocessor
from fgvc_export.synthetic_clip import synthetic_clip

ExportOf = Callable[[str], Any]
XY = np.array([[60.0, 40.0], [30.0, 70.0]], np.float32)


def session(bundle: Bundle, kind: Any) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    model = bundle.read(bundle.find(kind=kind, target="onnx"))
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def track_by_hand(bundle: Bundle, images: list[NDArray[np.float32]], labels: NDArray[np.float32]) -> list[Any]:
    """What an embedder writes in any language: encode, normalise, step, remember the first and the last frames."""
    encoder, propagation = session(bundle, "encoder"), session(bundle, "propagation")
    last = bundle.manifest.propagation.memory
    memory: list[tuple[Any, Any]] = []
    carried = []
    for image in images:
        features = encoder.run(None, {"frames": image})[0][0].transpose(1, 2, 0)
        unit = features / np.maximum(np.linalg.norm(features, axis=2, keepdims=True), 1e-12)
        if memory:
            frames = [memory[0], *memory[1:][-last:]]
            keys, old = (np.stack(part) for part in zip(*frames, strict=True))
            labels = propagation.run(["new_labels"], {"query": unit, "keys": keys, "labels": old})[0]
        memory.append((unit, labels))
        carried.append(labels)
    return carried


@pytest.mark.parametrize("arch", ["edge_lite0"])
def test_labels_equal_those_of_the_tracker(exported: ExportOf, arch: str) -> None:
    bundle = exported(arch).report.bundle
    clip, manifest = synthetic_clip(), bundle.manifest
    stride = manifest.encoder.stride
    first = gaussian_labels(XY, clip[0].shape[:2], manifest.propagation.label_sigma, stride)
    height, width = (-(-side // stride) for side in clip[0].shape[:2])
    preprocessor = Preprocessor(manifest.preprocess)
    images = [preprocessor(frame, frame.shape[:2]) for frame in clip]
    carried = track_by_hand(bundle, images, first.reshape(height, width, len(XY)))

    # Every pixel is carried, none left out as inactive, as in the loop above.
    settings = manifest.propagation.model_copy(update={"active_tau": 0.0})
    tracker = Model(bundle).point_tracker(size="native", backend="onnxruntime+onnx", propagation=settings)
    tracker.add_points(XY)
    for frame in clip:
        tracker.step(frame)
    (group,) = tracker._propagator.groups
    assert group.frames[-1] == len(clip) - 1
    # Two ways to normalise differ in the last bit of a feature; scores / 0.07 make that 1e-5 of a weight at most.
    np.testing.assert_allclose(group.labels, carried[-1].reshape(-1, len(XY)), rtol=0, atol=1e-4)
    assert np.abs(carried[-1] - carried[0]).max() > 0.3
