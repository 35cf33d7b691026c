"""Encoders whose output is on the device: engines, ONNX Runtime on a GPU, and any CPU encoder with an upload."""
