#!/bin/sh
# Run benchmarks/gpu.py with .venv or, on a machine without it and without a package registry, with that machine's
# Python and its PyTorch; what else is missing there comes from the folder gpu_packages, which `make gpu-packages` fills.
set -e
GPU_BEGAN=$(date +%s)  # for the time that all may take
export GPU_BEGAN
cd "$(dirname "$0")/.."
python=.venv/bin/python
if ! "$python" -c "import open_clip" 2>/dev/null; then
  python=python3
  PYTHONPATH="$PWD/gpu_packages:$PWD${PYTHONPATH:+:$PYTHONPATH}"
  export PYTHONPATH
  "$python" -c "import open_clip" || { echo "error: run \`make setup\`, or \`make gpu-packages\` where there is a registry" >&2; exit 1; }
fi
OMP_NUM_THREADS=1 exec "$python" -m benchmarks.gpu "$@"
