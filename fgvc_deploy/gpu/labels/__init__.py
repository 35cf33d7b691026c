"""Label maps on the device: kept in their ring, looked at, read out as points and masks.  Matching: `match`."""
