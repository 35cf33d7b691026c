"""Target `mnn`: the ONNX encoder through MNN's converter, with fp32 weights.

How it is run is `fgvc_deploy.encoders.mnn`.  `bf16` is the same network run in that precision, where MNN can.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper

from fgvc_deploy.encoders.base import EncoderBackend
from fgvc_deploy.encoders.mnn import MnnEncoder
from fgvc_deploy.errors import BackendError
from fgvc_deploy.settings import EncoderSettings
from fgvc_export.onnx_target import fp32_file
from fgvc_export.targets import Source

WHERE = "the exported MNN file"
# The converter's Python module itself: the `mnnconvert` command beside it also reports every conversion to a server
# in the cloud, and installs a package for that.  In a process of its own, because it prints and is 34 MB of code.
CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])"


# A string of 36 characters in MNN's file format, with its length before it.
RANDOM_NAME = re.compile(rb"\x24\0\0\0([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})\0")


def build(source: Source) -> bytes:
    """An MNN file with the inputs and outputs of the ONNX file.

    Raises `BackendError` when the converter refuses it, or for bf16 where MNN computes in fp32 all the same.
    """
    content = convert(fp32_file(source))
    if source.precision == "bf16":
        _require_bf16(content, source.settings)
    return content


def run(content: bytes, settings: EncoderSettings, precision: str) -> EncoderBackend:
    """The file in MNN."""
    return MnnEncoder(content, settings, where=WHERE, precision=precision)


def convert(content: bytes) -> bytes:
    """ONNX file to MNN file; the same bytes for the same file."""
    model = onnx.load_from_string(content)
    _spell_out_norms(model)
    with tempfile.TemporaryDirectory(prefix="fgvc-mnn-") as folder:
        theirs, ours = Path(folder) / "encoder.onnx", Path(folder) / "encoder.mnn"
        onnx.save(model, theirs)
        options = ["-f", "ONNX", "--modelFile", str(theirs), "--MNNModel", str(ours), "--bizCode", "fgvc"]
        done = subprocess.run([sys.executable, "-c", CONVERT, *options], capture_output=True, text=True, check=False)
        if done.returncode != 0 or not ours.is_file():
            told = (done.stdout + done.stderr).strip().splitlines() or ["it said nothing"]
            raise BackendError(
                f"MNN's converter did not take the ONNX encoder ({told[-1]}); try another MNN version."
            )
        return _with_lasting_name(ours.read_bytes())


def _spell_out_norms(model: ModelProto) -> None:
    """Write ReduceL2 as a root of a sum of squares.

    MNN 3.6.1's converter overlooks that opset 18 made the axes an input, and reduces over everything.
    """
    nodes = [part for node in model.graph.node for part in (_norm(node) if node.op_type == "ReduceL2" else [node])]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _norm(node: NodeProto) -> list[NodeProto]:
    (x, axes), (length,) = node.input, node.output
    keep = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
    return [
        helper.make_node("Mul", [x, x], [f"{length}_squares"]),
        helper.make_node("ReduceSum", [f"{length}_squares", axes], [f"{length}_sum"], keepdims=keep),
        helper.make_node("Sqrt", [f"{length}_sum"], [length]),
    ]


def _with_lasting_name(content: bytes) -> bytes:
    """Replace the random UUID that the converter writes into every file by one made from the rest of the file."""
    found = RANDOM_NAME.search(content)
    if found is None:
        return content
    before, after = content[: found.start(1)], content[found.end(1) :]
    name = uuid.UUID(bytes=hashlib.sha256(before + after).digest()[:16], version=4)
    return before + str(name).encode() + after


def _require_bf16(content: bytes, settings: EncoderSettings) -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64), dtype=np.float32)
    fp32, bf16 = (run(content, settings, precision).encode(x) for precision in ("fp32", "bf16"))
    if np.array_equal(fp32, bf16):
        raise BackendError(
            "MNN computes in fp32 here when it is asked for bf16, so there is no bf16 encoder to measure; "
            "export fp32, or export where MNN has bf16 kernels."
        )
