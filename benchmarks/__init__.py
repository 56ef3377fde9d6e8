"""Scripts that print ratios measured in one run: `python -m benchmarks.NAME`."""

import os

# as the stages have it; torch reads it once, when it is imported, so here and not in a script
os.environ.setdefault("TORCH_DISABLE_NATIVE_JIT", "1")
