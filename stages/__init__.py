"""The stages of dvc.yaml, one script each: `python -m stages.NAME key=value …`."""

import importlib.util
import sys

if importlib.util.find_spec("torch") is None:
    sys.exit("error: this python lacks the locked packages; run `make setup`, then `source .venv/bin/activate`")
