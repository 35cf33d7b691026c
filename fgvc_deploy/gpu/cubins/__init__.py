"""Kernels as a bundle holds them: cubins, what their metadata says, which fit a chip.  Launching them: `launches`."""
