"""Training of FGVC encoders in plain PyTorch.  Imports nothing of the other packages of this repository."""
