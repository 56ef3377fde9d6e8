"""Files, locks, signals and processes. Nothing here knows of learning, or changes a number."""
