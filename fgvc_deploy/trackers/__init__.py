"""Streaming trackers: frames go in one at a time, points or masks come out; memory does not grow with time."""
