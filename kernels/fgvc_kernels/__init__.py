"""Kernels and their plain references.  Imports nothing of ours."""
