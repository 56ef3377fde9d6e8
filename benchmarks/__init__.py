"""Scripts that measure ratios within one run: `python -m benchmarks.NAME`."""

import os

# As in the stages. torch reads it when it is imported, so it is set here and not in a script.
os.environ.setdefault("TORCH_DISABLE_NATIVE_JIT", "1")
