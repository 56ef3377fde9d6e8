"""Tuning: the training loop, the optimizers, and the cost of a run."""
