"""Ahead-of-time compiler of the Triton kernels, and the gates on their machine code.

`build` compiles, `machine_code` and `figures` read what came out, `gates` judge it against `baseline.json`;
`metadata` is what a launcher needs, `plugin` makes PTX for TensorRT.  The kernels are in `fgvc_kernels.triton`.
"""
