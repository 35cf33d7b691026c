"""One module for each data set, and the table of them all in `table.py`."""
