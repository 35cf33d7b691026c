"""The GPU run time: cubins on the CUDA driver, with neither torch nor triton.

Nothing here is imported unless a GPU backend is asked for, and cuda-python only when the driver is first called.
From below: `device` (the driver), `cubins` (kernels in a bundle), `stream` (steps, graph, copies), `launches` (what
each kernel gets), then side by side `match`, `labels` and `engines`, with `encoders` above the last; then
`propagator.py`, `engine.py`, and `create.py`, which puts it together.  `lint-imports` keeps the order.
"""
