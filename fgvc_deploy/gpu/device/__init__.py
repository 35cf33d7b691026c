"""One CUDA device through its driver: loading it, memory, faults.  Which kernels run on it: `cubins` and up."""
