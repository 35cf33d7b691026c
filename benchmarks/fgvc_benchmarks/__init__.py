"""Latency and accuracy suites, metrics, data set readers and reports.  May import every other package of ours."""
