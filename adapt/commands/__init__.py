"""The commands of `adapt`, a module each.

A module has `add`, which declares the arguments, and `run`, which does the work. `run` imports what is slow to import,
so that `--help` prints at once.
"""
