"""Build hook: compiles the native CPU kernels into the wheel with the system's C++ compiler.

`FGVC_NATIVE=0` skips them, `FGVC_NATIVE=1` makes a failure an error; otherwise a wheel without them is pure Python
and the build says so.  An editable install builds them in place.
"""

from __future__ import annotations

import importlib.util
import os
import sysconfig
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path("kernels", "fgvc_kernels", "native")
PURE = "fgvc-deploy is installed without its native CPU kernels; propagation will use a slower backend."


def load_builder(root: Path) -> ModuleType:
    """`fgvc_kernels.native.build`, by path: the package is not importable while it is being built."""
    spec = importlib.util.spec_from_file_location("fgvc_native_build", root / NATIVE / "build.py")
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{root / NATIVE / 'build.py'} is missing from the source tree.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def platform_tag() -> str:
    """Tag of this platform, `linux_x86_64` for example.

    Not manylinux: that needs an audit (auditwheel), because the C library's version comes from the building machine.
    """
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


class NativeBuildHook(BuildHookInterface[Any]):
    """Adds the compiled library and the platform tag to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is packed; `version` is `editable` for a development install."""
        wanted = os.environ.get("FGVC_NATIVE", "")
        if wanted == "0":
            self.app.display_info("FGVC_NATIVE=0: native CPU kernels left out.")
            return
        builder = load_builder(Path(self.root))
        try:
            if version == "editable":
                builder.build()
            else:
                self._include(builder, build_data)
        except builder.BuildError as error:
            if wanted == "1":
                raise
            self.app.display_warning(f"{error}\n{PURE}")

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the library's scratch folder once the wheel holds it."""
        scratch = getattr(self, "_scratch", None)
        if scratch is not None:
            scratch.cleanup()

    def _include(self, builder: ModuleType, build_data: dict[str, Any]) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="fgvc-wheel-")
        library = builder.build(Path(self._scratch.name) / builder.LIBRARY_NAME)
        build_data["force_include"][str(library)] = f"fgvc_kernels/native/{builder.LIBRARY_NAME}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"
