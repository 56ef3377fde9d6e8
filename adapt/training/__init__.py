"""Tuning: the loop, the optimizers, and what a run costs."""
