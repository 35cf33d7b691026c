"""Kernels in a GPU: the cubins that fit it, loaded, checked against the driver's view, ready to launch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.gpu.cubins.chips import choose_chip
from fgvc_deploy.gpu.cubins.images import Constant, KernelImage, cubin_chips, kernel_images, pick, read_image
from fgvc_deploy.gpu.cubins.metadata import KernelMetadata
from fgvc_deploy.gpu.device.driver import Driver
from fgvc_deploy.gpu.device.faults import CudaError

WARP = 32
# More than this a kernel gets only when the launcher asks for it first.
SHARED_WITHOUT_ASKING = 48 * 1024


@dataclass(frozen=True, eq=False, slots=True)
class Kernel:
    """A kernel in the GPU; compared by identity, like the handle it is."""

    metadata: KernelMetadata
    function: int

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return WARP * self.metadata.num_warps

    def constant(self, name: str) -> int:
        """A whole number that was compiled in; BundleError when the metadata lacks it."""
        value = self.metadata.constexprs.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise BundleError(
                f"the metadata of kernel {self.metadata.kernel} lacks its constant {name}; export the bundle again."
            )
        return value


class KernelSet:
    """The kernels of a bundle for one GPU, each loaded when first asked for.

    Raises BackendError when the bundle has nothing for this chip.
    """

    def __init__(self, driver: Driver, bundle: Bundle) -> None:
        self.chip = choose_chip(cubin_chips(bundle), driver.info.compute_capability, driver.info.name)
        self._driver = driver
        self._bundle = bundle
        self._images = kernel_images(bundle, self.chip)
        self._kernels: dict[str, Kernel] = {}
        self._modules: list[int] = []

    def get(self, name: str, types: Mapping[str, str] | None = None, **constants: Constant) -> Kernel:
        """The kernel compiled with these constants and types of parameters, loaded.

        Raises BundleError when there is none or the driver sees other parameters than its metadata, BackendError when
        it needs more shared memory than the chip has, CudaError when the driver refuses it.
        """
        image = pick(self._images, name, str(self._bundle.path), types or {}, constants)
        if image.artefact.path not in self._kernels:
            self._kernels[image.artefact.path] = self._load(image)
        return self._kernels[image.artefact.path]

    def close(self) -> None:
        """Unload everything; nothing enqueued may still be running."""
        while self._modules:
            with suppress(CudaError):
                self._driver.unload_module(self._modules.pop())
        self._kernels.clear()

    def _load(self, image: KernelImage) -> Kernel:
        metadata, info = image.metadata, self._driver.info
        where = f"{self._bundle.path}: {image.artefact.path!r}"
        if metadata.shared_bytes > info.shared_per_block:
            raise BackendError(
                f"{where} needs {metadata.shared_bytes} bytes of shared memory, {info.name} has "
                f"{info.shared_per_block}; export the checkpoint again for this chip."
            )
        doing = f"load the kernel {metadata.kernel} of {where}"
        module = self._driver.load_module(read_image(self._bundle, image), doing)
        self._modules.append(module)
        function = self._driver.function(module, metadata.symbol, doing)
        self._check_parameters(function, metadata, where)
        if metadata.shared_bytes > SHARED_WITHOUT_ASKING:
            self._driver.allow_shared(function, metadata.shared_bytes, doing)
        return Kernel(metadata, function)

    def _check_parameters(self, function: int, metadata: KernelMetadata, where: str) -> None:
        """The driver reads the layout from the machine code itself, so a wrong launch is found before it happens."""
        found = self._driver.parameter_layout(function, len(metadata.layout) + 1)
        if found is not None and found != metadata.layout:
            raise BundleError(
                f"{where} takes {len(found)} parameters where its metadata says {len(metadata.layout)}, or has them "
                "at other places; export the bundle again."
            )
