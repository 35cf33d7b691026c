"""The GPU run time: cubins on the CUDA driver, with neither torch nor triton.

Nothing here is imported unless a GPU backend is asked for, and cuda-python only when the driver is first called.
"""
