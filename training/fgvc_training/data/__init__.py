"""Training data: readers of published sets and of one's own videos, and exact synthetic scenes.

`sources` says what a reader gives; `prepare` turns that into a batch of the training objective.
"""
