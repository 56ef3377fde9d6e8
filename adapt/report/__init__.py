"""Tables, plots and figures computed from finished runs.

This package reads run folders, returns data frames, text and figures, and writes nothing.
"""
