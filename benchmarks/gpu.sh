#!/bin/sh
# Run benchmarks/gpu.py with .venv. A machine without it and without a package registry uses its own Python and PyTorch,
# and takes the other packages from the folder gpu_packages, which `make gpu-packages` fills.
set -e
GPU_BEGAN=$(date +%s)  # the time limit of the whole run counts from here
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
