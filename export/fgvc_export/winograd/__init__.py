"""Winograd's convolutions as standard ONNX operators: 3x3 convolutions with a quarter of the multiplications.

`matrices.py` has the arithmetic, `functions.txt` what a layer becomes, `rewrite.py` which layers of a graph it takes.
Used by target `winograd` (`winograd_target.py`).
"""
