"""One stream of work on a device: steps as data, their graph, what goes up and comes down.  No kernel by name."""
