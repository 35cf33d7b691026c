"""Triton kernels of label propagation, each with its maths, its launcher and a plain PyTorch reference in one file.

Importing this package imports neither torch nor triton; its modules do.  `table.py` lists every kernel for the
ahead-of-time compiler.  docs/kernels.md explains the design.
"""
