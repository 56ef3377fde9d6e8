"""The stages of dvc.yaml, one script each: `python -m stages.NAME key=value …`."""
