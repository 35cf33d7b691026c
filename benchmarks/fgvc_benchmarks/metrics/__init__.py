"""Published metrics in NumPy, one module each; every one scores arrays and knows nothing of files or models.

`reference=True` gives the figures of the published FGVC code, with its slips, for comparison with its tables; the
default is the metric as its own benchmark defines it.  Differences are named in each module's docstring.
"""
