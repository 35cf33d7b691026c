"""What each kernel is launched with: grids, arguments, offset tables.  When: `match` and `labels`."""
