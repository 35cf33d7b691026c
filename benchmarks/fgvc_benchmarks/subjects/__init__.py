"""What can be timed.  One module for each kind of subject; `table.py` names them, `base.py` says what one is."""
