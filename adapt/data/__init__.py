"""Datasets, few-shot subsets and views."""
