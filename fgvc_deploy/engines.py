"""From a backend's name to the parts of a bundle that run it.  What an engine is: `engine.py`."""

from __future__ import annotations

from fgvc_deploy.bundle import Bundle
from fgvc_deploy.encoders import select as encoders
from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.engine import Engine
from fgvc_deploy.errors import InputError
from fgvc_deploy.gpu.names import ENCODERS as GPU_ENCODERS
from fgvc_deploy.gpu.names import PROPAGATION as GPU
from fgvc_deploy.propagation.select import create_propagation, propagation_names
from fgvc_deploy.propagation.threads import worker_count
from fgvc_deploy.settings import PropagationSettings


class Engines:
    """The engines of a bundle, each made when it is first asked for; `threads` bounds every backend."""

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        self._bundle = bundle
        self._threads = threads
        # Kept apart from the engines: weights and session do not depend on the propagation.
        self._encoders: dict[str, EncoderBackend] = {}
        self._engines: dict[tuple[str, PropagationSettings], Engine] = {}

    def get(self, backend: str, propagation: PropagationSettings | None) -> Engine:
        """The engine of `Model.engine`, errors too."""
        settings = propagation or self._bundle.manifest.propagation
        key = (backend, settings)
        if key not in self._engines:
            encoder, matcher = split_backend(backend)
            self._engines[key] = (
                self._on_gpu(encoder, settings) if matcher == GPU else self._here(encoder, matcher, settings)
            )
        return self._engines[key]

    def _here(self, encoder: str, matcher: str, settings: PropagationSettings) -> Engine:
        manifest = self._bundle.manifest
        return Engine(
            manifest.encoder,
            manifest.preprocess,
            settings,
            manifest.default_size,
            self._encoder(encoder),
            create_propagation(matcher, settings, self._threads, self._bundle),
            overlap=worker_count(self._threads) > 1,
        )

    def _on_gpu(self, encoder: str, settings: PropagationSettings) -> Engine:
        # Imported when asked for: it brings ONNX Runtime's and the driver's interface along.
        from fgvc_deploy.gpu.create import create_engine

        return create_engine(self._bundle, settings, encoder=encoder, threads=self._threads)

    def _encoder(self, name: str) -> EncoderBackend:
        if name not in self._encoders:
            plain, _, precision = name.partition(":")
            self._encoders[name] = self._make_encoder(plain, precision or "fp32")
        return self._encoders[name]

    def _make_encoder(self, name: str, precision: str) -> EncoderBackend:
        if name not in GPU_ENCODERS:
            return encoders.create(self._bundle, name, threads=self._threads, precision=precision)
        from fgvc_deploy.gpu.select import host_encoder

        return host_encoder(self._bundle, name, precision)


def split_backend(backend: str) -> tuple[str, str]:
    """Names of the encoder and the propagation backend in `auto`, `numpy`, `onnxruntime` or `onnxruntime+numpy`.

    An encoder's keeps its precision, as in `onnxruntime:int8`.
    """
    encoder_names = [*(entry.name for entry in encoders.ENCODER_BACKENDS), *GPU_ENCODERS]
    matcher_names = [*propagation_names(), GPU]
    known = ["auto", *encoder_names, *matcher_names]
    names = backend.split("+")
    for name in names:
        plain, colon, _ = name.partition(":")
        if plain not in known or (colon and plain not in encoder_names):
            raise InputError(f"there is no backend {name!r}; choose from {', '.join(known)}, or join two by '+'.")
    chosen = (
        [name for name in names if name.partition(":")[0] in encoder_names],
        [name for name in names if name in matcher_names],
    )
    if any(len(of_one_kind) > 1 for of_one_kind in chosen):
        raise InputError(f"backend {backend!r} names two of a kind; join one encoder and one propagation by '+'.")
    encoder, matcher = (of_one_kind[0] if of_one_kind else "auto" for of_one_kind in chosen)
    return encoder, matcher
