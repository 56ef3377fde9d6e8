#!/bin/sh
# Makes .venv from the lock files; `make setup` and `make dev` run it, and docs/install.md describes it.
# Usage: setup.sh [dev], with UV, PYTHON, TORCH, TORCH_INDEX and NVIDIA in the environment, as the Makefile sets them.
set -eu

VERSIONS="3.11 3.12 3.13 3.14" # of Python, as in pyproject.toml
STAMP=.venv/.installed         # its lines: hash of what was installed, the checkout's path, the build of PyTorch, dev or nothing

here=$(pwd -P)
groups=${1:-}
python=.venv/bin/python
PATH=${PATH#"$here/.venv/bin:"} # so that the environment is not made from its own Python

refuse() {
    echo "$*" >&2
    exit 1
}

command -v git >/dev/null || refuse "git is needed, for DVC too: install it and run make again."
[ -e .git ] || git rev-parse --git-dir >/dev/null 2>&1 ||
    refuse "This folder is no git repository (unpacked from a ZIP?), and DVC needs one:" \
        "run 'git init && git add . && git commit -m start', or clone it, then run make again."

had="" place="" had_build="" had_groups=""
if [ -f $STAMP ]; then
    { read -r had; IFS= read -r place; read -r had_build; read -r had_groups; } <$STAMP || true
    [ -n "$had_build" ] || had_build=pypi had_groups=dev # the stamp of version 0.1.0
fi

# The installation depends on the locks and on pyproject.toml above its tool settings.
wanted=$({ sed '/^\[tool/,$d' pyproject.toml && cat uv.lock requirements.lock requirements-dev.lock; } | git hash-object --stdin)

# ---- a checkout that has moved

if [ -n "$place" ] && [ "$place" != "$here" ] && [ -x $python ]; then
    echo "This checkout has moved: writing its path into .venv"
    $python - "$place" "$here" <<'END'
import os, re, sys
from pathlib import Path
from urllib.parse import quote
old, new = sys.argv[1:]
places = ("bin/*", "pyvenv.cfg", ".installed", "lib/*/site-packages/*.pth", "lib/*/site-packages/adapt_clip-*/direct_url.json")
for path in [path for place in places for path in Path(".venv").glob(place) if path.is_file() and not path.is_symlink()]:
    was, now = (os.fsencode(quote(text) if path.suffix == ".json" else text) for text in (old, new))
    text = path.read_bytes()
    if b"\0" in text:  # a binary file
        continue
    written = re.sub(rb"(?<![\w.-])" + re.escape(was) + rb"(?![^/\s\"'])", lambda _: now, text)
    if written != text:
        mode = path.stat().st_mode
        path.unlink()  # uv's cache may hold the same file
        path.write_bytes(written)
        path.chmod(mode)
END
fi

# ---- Python: the one that python= names, else that of .venv, else the first that runs and fits, else one that uv installs

# Print the path of a Python, if it runs and its version fits. To make an environment with pip it needs ensurepip.
program() {
    "$1" -c "import sys
'%d.%d' % sys.version_info[:2] in '$VERSIONS'.split() and ('${UV:+uv}' or __import__('ensurepip')) or sys.exit(1)
print(sys._base_executable)" 2>/dev/null </dev/null
}

bring() { [ -n "$UV" ] && "$UV" python install "$1" >&2 && "$UV" python find "$1"; }

range="Python from ${VERSIONS%% *} to ${VERSIONS##* }"
[ -n "$UV" ] || range="$range with the module ensurepip (on Debian and Ubuntu in the package python3-venv)"

base="" anew=""
if [ -e .venv ] && [ ! -x $python ]; then anew="since its Python is gone"; fi
if [ -n "$PYTHON" ]; then
    base=$(program "$PYTHON" || program "python$PYTHON") || case " $VERSIONS " in *" $PYTHON "*) base=$(bring "$PYTHON") || true ;; esac
    [ -n "$base" ] || refuse "python=$PYTHON is no $range that runs here."
    [ ! -x $python ] || [ "$($python -V)" = "$("$base" -V)" ] || anew="with $("$base" -V)"
fi

# ---- PyTorch: PyPI's build or, on x86_64 Linux, the much smaller build for the CPU, from its own index

case $TORCH in auto | cpu | cuda) ;; *) refuse "torch=$TORCH is none of auto, cpu and cuda." ;; esac
build=pypi
if [ "$(uname -sm)" = "Linux x86_64" ]; then
    case $TORCH-$had-$had_build in
    cpu-*) build=cpu ;;
    cuda-*) ;;
    auto--* | auto-unfinished-*) [ -n "$NVIDIA" ] || build=cpu ;;
    *) build=$had_build ;;
    esac
fi

finished() { # whether .venv is up to date
    [ "$had" = "$wanted" ] && [ -z "$anew" ] && [ $build = "$had_build" ] && { [ -z "$groups" ] || [ "$groups" = "$had_groups" ]; }
}
finished && exit

if [ -z "$base" ] && [ -z "$anew" ] && [ -x $python ]; then base=$(program $python) || anew="since its Python does not fit"; fi
for name in $(printf 'python%s ' $VERSIONS) python3; do
    [ -n "$base" ] || base=$(program "$name") || true
done
[ -n "$base" ] || base=$(bring "${VERSIONS%% *}") ||
    refuse "No $range was found: install one, or uv, and run make again."

install() {
    if [ -n "$UV" ]; then "$UV" pip install --python $python "$@"; else $python -m pip --disable-pip-version-check install "$@"; fi
}

torch_for_the_cpu() { sed -n 's/^\(torch[a-z]*==[0-9.]*\)/\1+cpu/p' requirements.lock | install --no-deps "$@" -r /dev/stdin; }

answers() { # whether the index answers in a few seconds; if not, print why
    "$base" -c '
import signal, sys, urllib.request
signal.alarm(10)  # resolving a name has no time limit of its own
try:
    urllib.request.urlopen(sys.argv[1] + "/torch/", timeout=5).close()
except Exception as error:
    sys.exit(print(getattr(error, "reason", error)) or 1)' "$TORCH_INDEX" 2>/dev/null
}

fall_back() {
    echo "$TORCH_INDEX $1: taking PyPI's build of PyTorch instead, a download of 3.1 GB that also runs without a GPU."
    build=pypi
}

if [ $build = cpu ] && ! { [ $build = "$had_build" ] && [ -z "$anew" ] && torch_for_the_cpu --no-index >/dev/null 2>&1; } && ! why=$(answers); then
    fall_back "does not answer (${why:-no name server does})"
    finished && exit
fi
if [ -n "$UV" ]; then by=uv; else by=pip; fi
case $build in cpu) whose="PyTorch's build for the CPU" ;; *) whose="PyPI's build of PyTorch" ;; esac
[ -n "$anew" ] || [ -z "$had_build" ] || [ $build = "$had_build" ] || anew="with $whose"
groups=${groups:-$had_groups}

# ---- installing

[ -z "$anew" ] || echo "Making .venv anew $anew"
if [ $by = uv ]; then
    [ -z "$anew" ] && [ -x $python ] || "$UV" venv --quiet --clear --python "$base" .venv
else
    "$base" -m venv ${anew:+--clear} .venv # also adds pip to an environment that uv made
fi
printf '%s\n' unfinished "$here" $build "$groups" >$STAMP

if [ $build = cpu ]; then
    echo "Installing requirements.lock into .venv by $by, with $whose (minutes; once)"
    case $by in uv) index=--index ;; pip) index=--index-url ;; esac
    torch_for_the_cpu $index "$TORCH_INDEX" || fall_back "does not give torch and torchvision (see the error above)"
fi
if [ $build = cpu ]; then
    grep -hEv '^(torch|torchvision|triton|cuda-.*|nvidia-([^m]|m[^l]).*)==' requirements.lock ${groups:+requirements-dev.lock} |
        install -r /dev/stdin
    install --no-deps -e .
elif [ $by = uv ]; then
    echo "Installing uv.lock into .venv by uv (gigabytes, minutes; once)"
    UV_PROJECT_ENVIRONMENT=.venv "$UV" sync --frozen --all-extras $([ -n "$groups" ] || echo --no-extra docs --no-dev)
else
    echo "Installing requirements.lock into .venv by pip (gigabytes, minutes; once)"
    install -r requirements.lock ${groups:+-r requirements-dev.lock}
    install --no-deps -e .
fi
printf '%s\n' "$wanted" "$here" $build "$groups" >$STAMP
