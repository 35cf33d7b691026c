"""The exported propagation graph for tests, built once for each set of settings."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import pytest

from fgvc_deploy.bundle import Bundle, BundleDraft, Payload, write_bundle
from fgvc_deploy.propagation.base import PropagationBackend
from fgvc_deploy.propagation.onnx_graph import OnnxGraphBackend
from fgvc_deploy.propagation.select import PROPAGATION_BACKENDS, create_propagation
from fgvc_deploy.settings import PropagationSettings


@cache
def graph(settings: PropagationSettings | None = None) -> bytes:
    """The ONNX file; None: the default settings.  Skips the test where the exporter's packages are not installed."""
    pytest.importorskip("onnx")
    from fgvc_export.propagation_target import build_graph

    return build_graph(settings or PropagationSettings(), {})


def graph_backend(threads: int = 2) -> OnnxGraphBackend:
    """A backend on the default graph."""
    return OnnxGraphBackend(graph(), threads=threads)


def bundle_with_graph(draft: BundleDraft, path: Path) -> Bundle:
    """A bundle at `path` like `draft`, with the default graph in it."""
    payload = Payload("propagation", "onnx", "propagation.onnx", graph(), "fp32")
    return write_bundle(dataclasses.replace(draft, payloads=(*draft.payloads, payload)), path)


def runnable(name: str, bundle: Bundle, threads: int | None) -> PropagationBackend:
    """The backend `name` of the table, the default graph's from `bundle`; skips the test where it cannot run."""
    reason = next(entry.check(bundle) for entry in PROPAGATION_BACKENDS if entry.name == name)
    if reason is not None:
        pytest.skip(reason)
    return create_propagation(name, PropagationSettings(), threads, bundle)
