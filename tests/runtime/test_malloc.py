"""The C library's use of memory, measured in a process for each case."""

import platform
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's allocator is set")


def run(program: str) -> list[int]:
    """The numbers that a program prints."""
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return [int(word) for word in subprocess.check_output(command, cwd=ROOT, text=True).split()]


def test_memory_given_back_is_kept_for_the_next_tensors():
    """Pages that the system clears for the tensors of the tenth round of a loop."""
    (cleared,) = run("""
        import resource, torch
        from adapt.runtime import malloc
        malloc.keep_freed_pages()
        for _ in range(10):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            tensors = [torch.zeros(1 << 24) for _ in range(4)]
            del tensors
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """)
    assert cleared < 1000  # of 65536


def test_memory_does_not_grow_with_the_number_of_chunks():
    """Peak memory without texts, with 4 chunks of classes, and with 16.

    Texts differ in length as names do.
    """
    before, few, *_, many = run("""
        import random, re, open_clip, torch
        from pathlib import Path
        from adapt.clip import encoders
        from adapt.runtime import malloc
        torch.set_num_threads(1)
        vision = {"layers": 1, "width": 64, "head_width": 64, "patch_size": 16, "image_size": 32}
        words = {"layers": 3, "width": 512, "heads": 8, "context_length": 77, "vocab_size": 1000}
        model = open_clip.CLIP(512, vision, words).eval().requires_grad_(False)
        malloc.keep_freed_pages()
        rng = random.Random(0)

        def say():  # not getrusage, which begins with what the parent has held
            print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

        say()
        for chunks in (4, 16, 16):  # the second 16 meets the gaps that the first one left
            lengths = [rng.randint(2, 12) for _ in range(100 * chunks)]
            text = encoders.TextInput(torch.randn(5, 512), torch.randn(sum(lengths), 512), lengths)
            prompts = encoders.Injection([torch.randn(4, 512, requires_grad=True) for _ in range(3)])
            encoders.encode_text(model, text, prompts, chunk=100).sum().backward()
            say()
    """)
    assert many - few < 0.75 * (few - before)
