"""The fake GPU's libraries, built with gcc, and the environment to run on it.

    python -m tests.gpu.build -m benchmarks.gpu        # the arguments of Python

`fakecuda.c` is preloaded; `libcuda.c` and `nvml.c` become the driver's libraries, which are found by their names.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / ".scratch/pretended_gpu"
HEADERS = ("cuda.h", "cuda_runtime_api.h", "crt/host_defines.h")
RUNTIME = "libfakecuda.so"
LIBRARIES = {
    "fakecuda.c": RUNTIME,
    "libcuda.c": "libcuda.so.1",
    "nvml.c": "libnvidia-ml.so.1",
}  # as they are looked for


@cache
def include() -> Path | None:
    """Return a folder with CUDA's headers.

    Those of an installed package (Triton brings all of them) come before those of the system.
    """
    site = Path(torch.__file__).parents[1]
    folders = [site / "triton/backends/nvidia/include", *site.glob("nvidia/*/include"), Path("/usr/local/cuda/include")]
    return next((folder for folder in folders if all((folder / header).exists() for header in HEADERS)), None)


def obstacle() -> str | None:
    """Why there can be no pretended GPU here, if so."""
    if sys.platform != "linux":
        return "a library can be preloaded so on Linux alone"
    if (torch.version.cuda or "").split(".")[0] != "13":
        return f"this PyTorch is built for CUDA {torch.version.cuda}, not 13"
    if not shutil.which("gcc"):
        return "there is no gcc"
    return None if include() else "there are no headers of CUDA"


def build(folder: Path) -> Path:
    """Compile the libraries into a folder, unless they are newer than their sources."""
    folder.mkdir(parents=True, exist_ok=True)
    for source, library in ((HERE / source, folder / library) for source, library in LIBRARIES.items()):
        if library.exists() and library.stat().st_mtime > source.stat().st_mtime:
            continue
        made = library.with_name(f"{library.name}.{os.getpid()}")  # another process may be at it as well
        flags = ["-std=gnu17", "-O1", "-shared", "-fPIC", f"-I{include()}"]
        subprocess.run(["gcc", *flags, str(source), "-o", str(made), "-ldl", "-lpthread"], check=True)
        made.replace(library)
    return folder


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """That of a process on the pretended GPU whose libraries are in a folder.

    settings: FAKE_CC, the compute capability, and FAKE_GB, the memory.
    """

    def before(name: str, path: Path) -> str:
        return os.pathsep.join(filter(None, (str(path), os.environ.get(name))))

    return {
        **os.environ, "LD_PRELOAD": before("LD_PRELOAD", folder / RUNTIME),
        "LD_LIBRARY_PATH": before("LD_LIBRARY_PATH", folder),
        "TRITON_CACHE_DIR": str(folder / "triton"), "TRITON_LIBCUDA_PATH": str(folder),
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"), "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "OMP_NUM_THREADS": "1", **settings,
    }  # fmt: skip


def main() -> None:
    """Run Python on the pretended GPU."""
    if why := obstacle():
        sys.exit(f"no GPU can be pretended: {why}")
    os.execve(sys.executable, [sys.executable, *sys.argv[1:]], environment(build(FOLDER)))


if __name__ == "__main__":
    main()
