"""The public library: load a CLIP and a dataset, fit, evaluate, predict, save.

`import adapt` offers its names.
"""
