"""The kernels for people who work in PyTorch: `local_topk` and `propagate` as operators that torch.compile keeps.

CUDA tensors go through the Triton kernels, CPU tensors through the plain versions, which need no triton; both have
shapes for tracing (torch.export, FakeTensor) and gradients.  Which keys are chosen is not differentiable.  Their
weights are, through the scores of the chosen keys, and so are the labels.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch.library import triton_op, wrap_triton

from .config import require_topk
from .errors import KernelArgumentError
from .launching import require_features
from .local_topk_reference import TopK, local_topk_reference, softmax_gradient
from .offsets import distance_limit, offset_table
from .propagate_reference import propagate_reference

# The tile that the offsets are made for; held to `local_topk.CONFIG` by a test, so that this file needs no triton.
TILE, BLOCK = (8, 8), 32


@triton_op("fgvc::local_topk", mutates_args=())
def _local_topk(
    query: torch.Tensor,
    keys: torch.Tensor,
    offsets: torch.Tensor,
    height: int,
    width: int,
    radius: float,
    window: str,
    topk: int,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    hw, shape = (height, width), cast(Literal["circle", "square"], window)
    slots = torch.arange(keys.shape[0], dtype=torch.int32, device=query.device)
    if query.device.type == "cpu":
        found = local_topk_reference(
            query, keys, slots, hw, radius=radius, window=shape, topk=topk, temperature=temperature
        )
        return found.positions, found.values
    from .local_topk import CONFIG, local_topk_kernel, run_local_topk

    # Tracing knows no other launch options than these two.
    options = {"num_warps": CONFIG.num_warps, "num_stages": CONFIG.num_stages}
    limit, square = distance_limit(shape, radius, hw), window == "square"
    kernel = wrap_triton(local_topk_kernel)
    data = (query, keys, slots, offsets, hw, limit, square, topk, temperature)
    positions, values = run_local_topk(kernel, *data, options=options)
    return positions, values


@_local_topk.register_fake
def _local_topk_shapes(
    query: torch.Tensor, keys: torch.Tensor, offsets: torch.Tensor, *settings: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    size = (query.shape[0], settings[4])
    kind = torch.float64 if query.dtype == torch.float64 else torch.float32
    return query.new_empty(size, dtype=torch.int32), query.new_empty(size, dtype=kind)


def _remember_matches(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
    ctx.save_for_backward(inputs[0], inputs[1], *output)
    ctx.temperature = inputs[-1]
    ctx.mark_non_differentiable(output[0])


def _local_topk_backward(ctx: Any, _: torch.Tensor, grad_values: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """Gradients of query and keys: each score is a product of a query row and the key row at its position."""
    query, keys, positions, values = ctx.saved_tensors
    grad_scores = softmax_gradient(grad_values, values, ctx.temperature)
    rows = keys.flatten(0, 1).to(values.dtype)
    grad_query = torch.zeros_like(query, dtype=values.dtype)
    grad_keys = torch.zeros_like(rows)
    # One rank at a time: all at once would gather [H*W, k, C].
    for rank in range(positions.shape[1]):
        place, weight = positions[:, rank].long(), grad_scores[:, rank, None]
        grad_query += weight * rows[place]
        grad_keys.index_add_(0, place, weight * query.to(values.dtype))
    return (grad_query.to(query.dtype), grad_keys.reshape(keys.shape).to(keys.dtype), *(None,) * 7)


_local_topk.register_autograd(_local_topk_backward, setup_context=_remember_matches)


@triton_op("fgvc::propagate", mutates_args=())
def _propagate(positions: torch.Tensor, weights: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    slots = torch.arange(labels.shape[0], dtype=torch.int32, device=labels.device)
    if labels.device.type == "cpu":
        return propagate_reference(positions, weights, labels, slots)
    from .propagate import CONFIG, propagate_grid, propagate_kernel

    (pixels, topk), channels = positions.shape, labels.shape[2]
    out = torch.empty((pixels, channels), dtype=labels.dtype, device=labels.device)
    wrap_triton(propagate_kernel)[propagate_grid(pixels, channels)](
        *(positions, weights, labels, slots, pixels, channels, out),
        K=topk,
        num_warps=CONFIG.num_warps,
        num_stages=CONFIG.num_stages,
        **CONFIG.tiles,
    )
    return out


@_propagate.register_fake
def _propagate_shapes(positions: torch.Tensor, weights: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return labels.new_empty((positions.shape[0], labels.shape[2]))


def _remember_labels(ctx: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _propagate_backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    """Gradients of weights and labels, each a gather or its transpose; an entry of weight 0 named no key."""
    positions, weights, labels = ctx.saved_tensors
    rows = labels.flatten(0, 1)
    grad_weights, grad_rows = torch.zeros_like(weights), torch.zeros_like(rows, dtype=weights.dtype)
    for rank in range(positions.shape[1]):
        place, weight = positions[:, rank].long(), weights[:, rank]
        product = (grad * rows[place]).sum(1).to(weights.dtype)
        grad_weights[:, rank] = torch.where(weight != 0, product, 0)
        grad_rows.index_add_(0, place, weight[:, None] * grad.to(weights.dtype))
    return None, grad_weights, grad_rows.reshape(labels.shape).to(labels.dtype)


_propagate.register_autograd(_propagate_backward, setup_context=_remember_labels)


@torch.compiler.assume_constant_result
def _offsets(window: str, radius: float, height: int, width: int) -> torch.Tensor:
    shape = cast(Literal["circle", "square"], window)
    return torch.from_numpy(offset_table(shape, radius, (height, width), TILE, BLOCK).copy())


def local_topk(
    query: torch.Tensor,
    keys: torch.Tensor,
    *,
    radius: float,
    window: Literal["circle", "square"] = "circle",
    topk: int = 10,
    temperature: float = 0.07,
) -> TopK:
    """The k best keys of every pixel of `query` [H, W, C] over the key frames `keys` [T, H, W, C], jointly.

    Both hold unit vectors (`torch.nn.functional.normalize(x, dim=-1)`): fp16, bf16 or fp32 with C a multiple of 16,
    on the CPU also fp64.  Keys at a distance < `radius` feature pixels are allowed (`square`: |dx|, |dy| <= radius).
    Returns positions int32 [H*W, k] = t * H*W + y * W + x, best first, and values fp32 [H*W, k]: softmax weights, or
    scores for temperature 0.  An empty entry has position 0 and weight 0 (score -inf).  Raises KernelArgumentError.
    Source: FGVC section 3.5; goldens items 8, 10, 11.
    """
    if query.dim() != 3 or keys.dim() != 4:
        raise KernelArgumentError(f"Give [H, W, C] and [T, H, W, C], not {tuple(query.shape)}, {tuple(keys.shape)}.")
    height, width, _ = query.shape
    rows, key_rows = query.flatten(0, 1), keys.flatten(1, 2)
    if query.dtype != torch.float64 or query.device.type != "cpu":
        require_features(rows, key_rows, (height, width))
    require_topk(topk)
    if not temperature >= 0 or not len(keys):
        raise KernelArgumentError(
            f"Temperature {temperature} or {len(keys)} key frames: neither may be empty or < 0."
        )
    offsets = _offsets(window, float(radius), height, width).to(query.device)
    data = (rows, key_rows, offsets, height, width, float(radius), window, topk, float(temperature))
    positions, values = _local_topk(*data)
    return TopK(positions, values)


def propagate(matches: TopK, labels: torch.Tensor) -> torch.Tensor:
    """Labels [H, W, P] of the query from its matches (weights) and the key frames' labels [T, H, W, P], fp32 or fp16.

    Raises KernelArgumentError.
    """
    positions, weights = matches
    if labels.dim() != 4 or positions.shape[0] != labels.shape[1] * labels.shape[2]:
        raise KernelArgumentError(f"Labels {tuple(labels.shape)} do not fit matches {tuple(positions.shape)}.")
    carried = cast(torch.Tensor, _propagate(positions, weights, labels.flatten(1, 2)))
    return carried.reshape(labels.shape[1:])
