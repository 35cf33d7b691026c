"""The names that `--backend` knows for a GPU.  Importing this imports nothing else.

`auto` never takes one of these: nothing here has been timed on a GPU yet, so the choice is the user's.
"""

from __future__ import annotations

from typing import Literal

PROPAGATION = "gpu"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
PROVIDERS = {"onnxruntime-tensorrt": TENSORRT, "onnxruntime-cuda": CUDA}
# Best first.  With `gpu`, any other encoder's name means that of the CPU, whose features are uploaded.
ENGINES: tuple[Literal["tensorrt", "rtx"], ...] = ("tensorrt", "rtx")
ENCODERS = (*ENGINES, *PROVIDERS)
