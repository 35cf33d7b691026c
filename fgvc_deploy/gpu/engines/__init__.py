"""TensorRT and TensorRT-RTX engines: which one fits here, building one, keeping it.  Running one: `gpu/encoders`."""
