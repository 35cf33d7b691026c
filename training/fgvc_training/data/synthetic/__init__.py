"""Exact synthetic scenes: cut-outs of real objects moving smoothly over real frames.

`motion` moves a layer, `scene` answers every question about a scene exactly (image, ids, flow, tracks, visibility),
`make` draws scenes at random from DAVIS-like videos, `pairs` feeds them to training.
"""
