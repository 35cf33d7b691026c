"""The edge encoder's training: its losses, its pairs, how a checkpoint is judged, and the trainer's task `edge`.

The encoder itself is `fgvc_training.encoder.edge`; what was tried and measured is docs/edge-encoder.md.
"""
