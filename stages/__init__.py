"""The stages of dvc.yaml, one script each: `python -m stages.NAME key=value …`."""

import gc
import importlib.util
import sys

gc.disable()  # until stage.run: imports allocate much and free nothing, and are a fifth faster without

if importlib.util.find_spec("torch") is None:
    sys.exit("error: this python lacks the locked packages; run `make setup`, then `source .venv/bin/activate`")
