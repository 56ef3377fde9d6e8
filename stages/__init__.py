"""The stages of dvc.yaml, one script each: `python -m stages.NAME key=value …`."""

import gc
import importlib.util
import os
import sys

from adapt.runtime import fork_server

# torch reads this once. Without it, torch compiles kernels of its own on a GPU, which needs a C compiler that may be
# missing
os.environ.setdefault("TORCH_DISABLE_NATIVE_JIT", "1")

if fork_server.wanted() and sys.orig_argv[1] == "-m":
    fork_server.run_in_worker(sys.orig_argv[2], sys.orig_argv[3:])

gc.disable()  # until stage.run: imports allocate much, free nothing, and are a fifth faster without it

if importlib.util.find_spec("torch") is None:
    sys.exit("error: this python lacks the locked packages; run `make setup`, then `source .venv/bin/activate`")
