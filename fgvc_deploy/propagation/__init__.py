"""Propagation backends: ways to find the best keys of every pixel of a new frame."""
