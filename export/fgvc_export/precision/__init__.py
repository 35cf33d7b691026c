"""Lower precisions of the ONNX encoder for GPUs: fp16, and int8 by explicit Q/DQ; what stays wider is measured."""
