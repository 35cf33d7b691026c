"""Augmentations: `lab_dropout` is part of the losses; `lab`, `photometric` and `crop` prepare the data."""
