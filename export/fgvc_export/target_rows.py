"""The rows of the table of export targets: data only.  What is done with them is `targets.py`."""

from __future__ import annotations

from dataclasses import dataclass

from fgvc_deploy.bundle.manifest import ArtefactKind
from fgvc_kernels.aot.chips import CHIPS


@dataclass(frozen=True, slots=True)
class Target:
    """One row.

    `runtime` is what runs the artefact (the target the manifest names); `needs` are import names, `mend` the command
    that installs them; `file_name` is the artefact's path (of several files: their folder) for each precision that
    the target offers, the usual one first.
    """

    name: str
    summary: str
    kind: ArtefactKind
    runtime: str
    module: str
    file_name: dict[str, str]
    needs: tuple[str, ...]
    mend: str


ENGINE_PRECISIONS = ("fp16", "fp32", "int8")
# What TensorRT-RTX builds for and our kernels run on; `rtx` alone means those of graphics cards.
RTX_CHIPS = ("sm_86", "sm_89", "sm_120", "sm_80", "sm_121")
FAMILIES = {"rtx": ("rtx:sm_86", "rtx:sm_89", "rtx:sm_120")}

TARGETS: dict[str, Target] = {
    row.name: row
    for row in (
        Target(
            name="onnx",
            summary="ONNX file of any frame size, run by ONNX Runtime",
            kind="encoder",
            runtime="onnx",
            module="fgvc_export.onnx_target",
            file_name={"fp32": "encoder.onnx", "fp16": "encoder.fp16.onnx", "int8": "encoder.int8.onnx"},
            needs=("torch", "onnx", "onnxscript", "onnxruntime"),
            mend="pip install 'fgvc-deploy[export]'",
        ),
        Target(
            name="qdq",
            summary="ONNX file with int8 by explicit Q/DQ where tracks allow it and fp16 elsewhere, for GPUs",
            kind="encoder",
            runtime="qdq",
            module="fgvc_export.qdq_target",
            file_name={"int8": "encoder.qdq.onnx"},
            needs=("torch", "onnx", "onnxscript", "onnxruntime"),
            mend="pip install 'fgvc-deploy[export]'",
        ),
        Target(
            name="winograd",
            summary="ONNX file with Winograd convolutions, for encoders with wide 3x3 layers on a CPU",
            kind="encoder",
            runtime="winograd",
            module="fgvc_export.winograd_target",
            file_name={"fp32": "encoder.winograd.onnx"},
            needs=("torch", "onnx", "onnxscript", "onnxruntime"),
            mend="pip install 'fgvc-deploy[export]'",
        ),
        Target(
            name="mnn",
            summary="MNN file of any frame size, run by MNN",
            kind="encoder",
            runtime="mnn",
            module="fgvc_export.mnn_target",
            file_name={"fp32": "encoder.mnn", "bf16": "encoder.bf16.mnn"},
            needs=("torch", "onnx", "onnxscript", "MNN"),
            mend="pip install 'fgvc-deploy[cpu,export]'",
        ),
        Target(
            name="propagation",
            summary="the propagation step as an ONNX file of any frame size, for any runtime and language",
            kind="propagation",
            runtime="onnx",
            module="fgvc_export.propagation_target",
            file_name={"fp32": "propagation.onnx"},
            needs=("onnx", "onnxruntime"),
            mend="pip install 'fgvc-deploy[export]'",
        ),
        *(
            Target(
                name=f"cubin:{chip}",
                summary=f"the GPU kernels as machine code for {chip} ({row.product.name})",
                kind="kernel",
                runtime=f"cubin:{chip}",
                module="fgvc_export.cubin_target",
                file_name={"fp16": f"kernels/{chip}", "bf16": f"kernels/{chip}"},
                needs=("torch", "triton"),
                mend="pip install 'fgvc-deploy[export]'",
            )
            for chip, row in CHIPS.items()
        ),
        *(
            Target(
                name=f"rtx:{chip}",
                summary=f"the encoder as a TensorRT-RTX engine for {chip} ({CHIPS[chip].product.name})",
                kind="engine",
                runtime=f"rtx:{chip}",
                module="fgvc_export.engine_target",
                file_name=dict.fromkeys(ENGINE_PRECISIONS, "engines"),
                needs=("torch", "onnx", "onnxscript", "onnxruntime", "tensorrt_rtx"),
                mend="pip install 'fgvc-deploy[export,rtx]'",
            )
            for chip in RTX_CHIPS
        ),
        Target(
            name="tensorrt",
            summary="the encoder as a TensorRT engine for the GPU that is here",
            kind="engine",
            runtime="tensorrt",
            module="fgvc_export.engine_target",
            file_name=dict.fromkeys(ENGINE_PRECISIONS, "engines"),
            needs=("torch", "onnx", "onnxscript", "onnxruntime", "tensorrt"),
            mend="pip install 'fgvc-deploy[export,tensorrt]'",
        ),
        *(
            Target(
                name=f"plugin:{chip}",
                summary=f"the matching kernel as a TensorRT plugin for {chip} ({row.product.name})",
                kind="kernel",
                runtime=f"plugin:{chip}",
                module="fgvc_export.plugin_target",
                file_name={"fp16": f"plugins/{chip}", "bf16": f"plugins/{chip}"},
                needs=("torch", "triton"),
                mend="pip install 'fgvc-deploy[export]'",
            )
            for chip, row in CHIPS.items()
        ),
    )
}
