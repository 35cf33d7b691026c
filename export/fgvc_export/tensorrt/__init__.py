"""Engines: an ONNX encoder built by TensorRT 10 or 11, or ahead of time by TensorRT-RTX.  Nothing is run here."""
