"""The commands of `adapt`: each module has `add`, which says its arguments, and `run`, which does the work.

What takes long to import is imported by `run`, so that `--help` comes at once.
"""
