"""The fine stage: sub-pixel positions of points by aligning image patches around what the labels say.

`picture.py` is what a frame looks like to it, `template.py` what a query patch is, `align.py` the alignment, and
`patches.py` decides what to believe.  Labels, features and masks are not touched.  Why, and how well it works:
docs/fine-stage.md.
"""
