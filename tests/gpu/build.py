"""The pretended GPU's two libraries, built with gcc, and the environment of a process that runs on it.

`fakecuda.c` is preloaded; `libcuda.c` becomes the driver library, which is looked for by its name.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import torch

HERE = Path(__file__).parent
HEADERS = ("cuda.h", "cuda_runtime_api.h", "crt/host_defines.h")
RUNTIME, DRIVER = "libfakecuda.so", "libcuda.so.1"  # as the linker looks for them


@cache
def include() -> Path | None:
    """A folder with CUDA's headers, those of an installed package (Triton brings all) before those of the system."""
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
    """Compile both libraries into a folder, unless they are there and newer than their sources."""
    folder.mkdir(parents=True, exist_ok=True)
    for source, library in ((HERE / "fakecuda.c", folder / RUNTIME), (HERE / "libcuda.c", folder / DRIVER)):
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
        "TRITON_CACHE_DIR": str(folder / "triton"), "OMP_NUM_THREADS": "1", **settings,
    }  # fmt: skip
