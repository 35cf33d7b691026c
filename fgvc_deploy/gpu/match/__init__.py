"""Finding the best keys of a frame on the device.  What labels do with them: `labels`."""
