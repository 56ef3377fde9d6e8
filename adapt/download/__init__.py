"""Fetch datasets: addresses, downloads, archives, checks.

This is separate from adapt/data, on which the stages depend as a whole: nothing here decides what an image is, and a
new mirror must not make all training run again.
"""
