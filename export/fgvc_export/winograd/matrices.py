"""The matrices of F(4x4, 3x3): Winograd's convolution of a 6x6 window with 3x3 weights to 4x4 outputs.

One dimension is the algorithm of Toom and Cook: polynomials are multiplied by their values at six points.  Two
dimensions are the Kronecker product with itself (Lavin and Gray, "Fast algorithms for convolutional neural
networks").
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fgvc_deploy.encoders.base import Float32Array

OUTPUTS, TAPS = 4, 3
WINDOW = OUTPUTS + TAPS - 1
# The sixth point is infinity.  Small integers keep the float32 errors at some 1e-6 of the largest value; 6x6 outputs
# would need points up to 4 and lose two more digits.
POINTS = (0, 1, -1, 2, -2)

Matrix = list[list[Fraction]]


def _powers(columns: int) -> Matrix:
    """Row for each point, the powers of it; infinity picks the highest power."""
    rows = [[Fraction(point) ** power for power in range(columns)] for point in POINTS]
    return [*rows, [Fraction(power == columns - 1) for power in range(columns)]]


def _times(polynomial: list[Fraction], root: Fraction) -> list[Fraction]:
    """Coefficients, lowest first, of polynomial * (x - root)."""
    return [a - root * b for a, b in zip([Fraction(0), *polynomial], [*polynomial, Fraction(0)], strict=True)]


def one_dimension() -> tuple[Matrix, Matrix, Matrix]:
    """B^T [6][6], G [6][3] and A^T [4][6], exact: A^T ((G g) * (B^T d)) is the correlation of d with g."""
    window, weights = [], []
    for at in range(len(POINTS)):
        product, scale = [Fraction(1)], Fraction(1)
        for other in range(len(POINTS)):
            if other != at:
                product = _times(product, Fraction(POINTS[other]))
                scale *= POINTS[at] - POINTS[other]
        window.append([*product, Fraction(0)])
        weights.append([Fraction(POINTS[at]) ** power / scale for power in range(TAPS)])
    everything = [Fraction(1)]
    for point in POINTS:
        everything = _times(everything, Fraction(point))
    window.append(everything)
    weights.append([Fraction(power == TAPS - 1) for power in range(TAPS)])
    output = [list(row) for row in zip(*_powers(OUTPUTS), strict=True)]
    return window, weights, output


def _twice(matrix: Matrix) -> NDArray[np.float64]:
    values = np.array(matrix, np.float64)
    return np.asarray(np.kron(values, values), np.float64)


def window_matrix() -> Float32Array:
    """[36, 36]: windows of 6x6 pixels to the values that are multiplied."""
    return _twice(one_dimension()[0]).astype(np.float32)


def weight_matrix() -> Float32Array:
    """[36, 9]: weights of 3x3 taps to the values that are multiplied."""
    return _twice(one_dimension()[1]).astype(np.float32)


def output_matrix() -> Float32Array:
    """[17, 36]: products to the 4x4 outputs, and a row of zeros: the layout keeps a block of pixels that are zero."""
    return np.concatenate([_twice(one_dimension()[2]), np.zeros((1, WINDOW**2))]).astype(np.float32)
