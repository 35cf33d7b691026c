"""Whether tracking on a GPU can work here, found out step by step, and said in one sentence when it cannot."""

from __future__ import annotations

import importlib.util

from fgvc_deploy.bundle.reading import Bundle
from fgvc_deploy.errors import BackendError, BundleError
from fgvc_deploy.gpu.cubins.chips import choose_chip
from fgvc_deploy.gpu.cubins.images import cubin_chips, kernel_images
from fgvc_deploy.gpu.device.cuda_bindings import MISSING
from fgvc_deploy.gpu.device.cuda_driver import open_driver
from fgvc_deploy.gpu.device.driver import DeviceInfo


def device() -> DeviceInfo:
    """The GPU here; BackendError when there is none that can be used."""
    driver = open_driver()
    driver.release()
    return driver.info


def obstacle(bundle: Bundle | None = None) -> str | None:
    """Why the kernels of this bundle cannot run here, without a full stop, or None when they can."""
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.bindings") is None:
        return MISSING.removesuffix(".")
    if bundle is not None and not cubin_chips(bundle):
        return (
            "the bundle has no GPU kernels; export the checkpoint with `--target cubin:` of the chip, as cubin:sm_87"
        )
    try:
        info = device()
        if bundle is None:
            return "its kernels lie in a bundle, and none is given"
        kernel_images(bundle, choose_chip(cubin_chips(bundle), info.compute_capability, info.name))
    except (BackendError, BundleError) as error:
        return str(error).removesuffix(".")
    return None
