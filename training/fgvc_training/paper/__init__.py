"""The paper's recipe as a training task: its data by configuration, its teacher, its evaluation.

The losses are `objective` and `losses`; the loop is `trainer`.
"""
