"""Stages: their files in data/ and runs/, params.yaml, and DVC."""
