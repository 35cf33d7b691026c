"""Accuracy on published benchmarks: `fgvc-deploy eval`, and what is made of its records.

`tasks` holds one module for each data set; `running` tracks its clips, `records` keeps what was scored, `report` sums
it up.  File layouts are read in `fgvc_benchmarks.datasets`, scores are computed in `fgvc_benchmarks.metrics`.
"""
