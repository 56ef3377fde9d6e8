"""Out of memory: the work is retried in smaller parts, with the same results.

A message says so.
"""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from adapt import methods
from adapt.clip import oom
from adapt.clip.backbone import hold_in
from adapt.errors import UserError
from adapt.runtime.checkpoint import Checkpoint
from adapt.training import teacher_features
from adapt.training.numerics import enable_determinism, set_matmul_precision
from adapt.training.trainer import train
from tests.conftest import small_clip
from tests.methods.test_methods import build, settle

OUT = torch.OutOfMemoryError("CUDA out of memory")
UNSUPPORTED = RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if …")
CLIP = small_clip()


@pytest.fixture
def said(caplog):
    """The messages so far."""
    caplog.set_level(logging.WARNING, "adapt.clip.oom")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "adapt.clip.oom"]


def test_images_are_cut_in_halves_until_they_fit(said):
    seen = []

    def work(part: slice) -> list[int]:
        if part.stop - part.start > 3:
            raise OUT
        seen.append(part)
        return list(range(10))[part]

    assert [number for part in oom.AdaptiveBatch(8).each(work, range(10)) for number in part] == list(range(10))
    assert seen == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 8), slice(8, 10)]
    assert [message.split(": ")[1] for message in said()] == [
        "going on with 4 images at a time",
        "going on with 2 images at a time",
    ]


@pytest.mark.parametrize(
    "error",
    [
        OUT,
        MemoryError(),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasGemmEx(handle, …)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
    ],
    ids=["torch", "python", "cublas", "cublas_start", "cpu"],
)
def test_whoever_runs_out_of_memory_is_understood(error, said):
    def work(part: slice) -> int:
        if part.stop - part.start > 2:
            raise error
        return part.stop - part.start

    assert oom.AdaptiveBatch(4).each(work, range(4)) == [2, 2] and len(said()) == 1
    assert oom.retry_with_smaller_text_batch(lambda clip: work(slice(0, clip.text_batch_size or 4)), CLIP, 4) == 2


@pytest.mark.parametrize(("free", "meant"), [(0.02, True), (0.5, False)])
def test_what_cudnn_does_not_support_is_lack_of_memory_where_little_is_free(free, meant, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(free * 10**9), 10**9))
    assert oom.is_out_of_memory(UNSUPPORTED) is meant


def test_what_cudnn_does_not_support_is_not_lack_of_memory_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert not oom.is_out_of_memory(UNSUPPORTED)


def test_cublas_that_fails_later_is_not_taken_for_lack_of_memory():
    """By a kernel that went astray, after which no handle works."""
    assert not oom.is_out_of_memory(RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm(…)`"))


def test_another_error_is_not_taken_for_one():
    def work(part: slice) -> int:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        oom.AdaptiveBatch(4).each(work, range(4))
    with pytest.raises(RuntimeError, match="mat1"):
        oom.retry_with_smaller_text_batch(lambda _: work(slice(0, 4)), CLIP, 4)


def test_what_did_not_fit_is_not_tried_again(said):
    fitting = oom.AdaptiveBatch(8)

    def work(part: slice) -> None:
        if part.stop - part.start > 4:
            raise OUT

    for _ in range(3):
        fitting.each(work, range(8))
    assert fitting.size == 4 and len(said()) == 1


def test_one_image_that_does_not_fit_is_an_error():
    def work(part: slice) -> None:
        raise OUT

    with pytest.raises(torch.OutOfMemoryError):
        oom.AdaptiveBatch(8).each(work, range(10))


def test_classes_are_halved_until_they_fit(backbone, said):
    tried = []

    def work(backbone) -> int:
        tried.append(backbone.text_batch_size)
        if tried[-1] is None or tried[-1] > 3:
            raise OUT
        return tried[-1]

    assert oom.retry_with_smaller_text_batch(work, backbone, 10) == 2
    assert tried == [None, 5, 2]
    assert said()[-1].endswith("set text_batch_size (params: runtime.text_batch_size) to 2")


def test_one_class_that_does_not_fit_is_refused(backbone):
    def work(backbone) -> None:
        raise OUT

    with pytest.raises(
        UserError, match="too little memory even for one class .* lower optimizer.batch_size.* runtime.precision"
    ):
        oom.retry_with_smaller_text_batch(work, backbone, 10)


def test_features_are_the_same_however_the_images_are_cut(backbone, monkeypatch, said):
    images = [torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8).numpy() for _ in range(9)]
    whole = teacher_features.embed_images(backbone, images)
    encode = type(backbone).encode_image

    def limited(self, pixels, *stream):
        if len(pixels) > 4:
            raise OUT
        return encode(self, pixels, *stream)

    monkeypatch.setattr(type(backbone), "encode_image", limited)
    torch.testing.assert_close(teacher_features.embed_images(backbone, images), whole)
    assert len(said()) > 0


def test_class_embeddings_are_the_same_however_the_classes_are_cut(task, monkeypatch, said):
    backbone, templates = task.backbone, ["a photo of a {}.", "the {}."]
    whole = teacher_features.embed_classes(backbone, task.classes, templates)
    encode = type(backbone).encode_text

    def limited(self, *rest):
        if self.text_batch_size is None:
            raise OUT
        return encode(self, *rest)

    monkeypatch.setattr(type(backbone), "encode_text", limited)
    torch.testing.assert_close(teacher_features.embed_classes(backbone, task.classes, templates), whole)
    assert "runtime.text_batch_size) to 2" in said()[0]


@pytest.mark.parametrize("text_batch_size", [1, 2, 4])
@pytest.mark.parametrize("name", ["adapt", "coop", "maple", "clip_lora"])
def test_fewer_classes_at_once_give_the_same_gradients(name, text_batch_size, task, batches):
    found = []
    for backbone in (task.backbone, replace(task.backbone, text_batch_size=text_batch_size)):
        method = build(name, replace(task, backbone=backbone)).eval()
        method.losses(batches.batch(0, 0))[0].backward()
        found.append([parameter.grad for parameter in method.parameters()])
    for one, other in zip(*found, strict=True):
        scale = float(one.abs().max())  # the summation order differs, so tolerances are relative to the largest value
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("text_batch_size", [None, 2])
def test_dropout_is_the_same_where_it_is_computed_again(text_batch_size, task, batches):
    """The gradient is the slope of the loss: both passes use the same dropout masks."""
    batch = batches.batch(0, 0)

    def make(along=None, far=0.0):
        method = build("clip_lora", replace(task, backbone=replace(task.backbone, text_batch_size=text_batch_size)))
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for number, parameter in enumerate(method.parameters()):
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
                parameter += far * along[number] if along else 0.0
        return method.train()

    method = make()
    method.losses(batch)[0].backward()
    gradients = [parameter.grad for parameter in method.parameters()]
    with torch.no_grad():
        up, down = (make(gradients, far).losses(batch)[0] for far in (1e-3, -1e-3))
    slope = sum(float(gradient.square().sum()) for gradient in gradients)
    assert float(up - down) / 2e-3 == pytest.approx(slope, rel=2e-2)


class Memory(Checkpoint):
    """A checkpoint that is not written."""

    def __init__(self):
        self.state, self.path = None, Path("none")

    def should_save(self):
        return False

    def load(self):
        return self.state

    def save(self, state):
        self.state = state


def test_run_out_of_memory_in_an_epoch_goes_on_from_the_last_one(task, batches, monkeypatch, said):
    """The third epoch fails, as a method whose cost grows may; no step is done twice."""
    settled, epochs = settle("adapt"), []
    expected = build("adapt", task)
    train(expected, batches, settled.optimizer, steps=5 * len(batches))
    encode = type(task.backbone).encode_text

    def limited(self, text, *rest, **options):
        if len(epochs) > 2 and self.text_batch_size is None:
            raise OUT
        return encode(self, text, *rest, **options)

    monkeypatch.setattr(type(task.backbone), "encode_text", limited)
    store = Memory()

    def progress(numbers: range):
        for number in numbers:
            epochs.append(number)
            yield number

    def run(backbone):
        method = build("adapt", replace(task, backbone=backbone))
        train(method, batches, settled.optimizer, steps=5 * len(batches), store=store, progress=progress)
        return method

    found = oom.retry_with_smaller_text_batch(run, task.backbone, len(task.classes))
    assert epochs == [0, 1, 2, 2, 3, 4] and len(said()) == 1
    for name, value in expected.to_tensors().items():
        torch.testing.assert_close(found.to_tensors()[name], value)


# --- precision --------------------------------------------------------------------------------------------------------


def in_bfloat16(task):
    return replace(task, backbone=replace(task.backbone, precision="bfloat16"))


@pytest.mark.parametrize("name", ["adapt", "coop", "vpt", "clip_lora", "dpl", "cocoop"])
def test_prompts_losses_and_gradients_stay_float32(name, task, batches):
    method = build(name, in_bfloat16(task))
    method.on_fit_start(batches, batches)
    loss, terms = method.losses(batches.batch(0, 0))
    loss.backward()
    grads = [parameter.grad for parameter in method.parameters() if parameter.grad is not None]
    kinds = {value.dtype for value in (*method.parameters(), *grads, loss, *terms.values())}
    assert kinds == {torch.float32} and loss.isfinite()


def test_bfloat16_rounds_the_towers_and_no_more(task, batches):
    exact, rounded = task.backbone, in_bfloat16(task).backbone
    images = batches.batch(0, 0).images
    for one, other in ((exact.encode_text(task.text), rounded.encode_text(task.text)),
                       (exact.encode_image(images), rounded.encode_image(images))):  # fmt: skip
        error = float((one - other).norm() / one.norm())
        assert one.dtype == other.dtype == torch.float32 and 1e-4 < error < 0.05


@pytest.mark.parametrize("name", ["adapt", "coop", "vpt", "maple", "clip_lora"])
def test_matrices_held_in_bfloat16_give_what_matrices_cast_in_each_step_give(name, task, batches):
    """Values and gradients are equal to the bit.

    The plain twin is autocast of float32 weights.
    """
    results = []
    for clip in (replace(small_clip(), precision="bfloat16"), hold_in(small_clip(), "bfloat16")):
        method = build(name, replace(task, backbone=clip))
        loss = method.losses(batches.batch(0, 0))[0]
        loss.backward()
        results.append([loss.detach(), *(parameter.grad for parameter in method.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_no_matrix_is_cast_where_all_are_held(task, batches):
    """A step of every kind of method casts only activations and learned parameters."""
    clip = hold_in(small_clip(), "bfloat16")
    frozen = {weight.data_ptr() for weight in clip.model.parameters()}

    class Casts(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten._to_copy.default:
                assert args[0].data_ptr() not in frozen, tuple(args[0].shape)
            return func(*args, **(kwargs or {}))

    for name in ("adapt", "coop", "maple", "clip_lora"):
        method = build(name, replace(task, backbone=clip))
        with Casts():
            method.losses(batches.batch(0, 0))[0].backward()


def test_weights_held_in_bfloat16_are_known_by_the_hash_of_the_whole_ones():
    clip = hold_in(small_clip(), "bfloat16")
    assert clip.weights == CLIP.weights and clip.model.visual.conv1.weight.dtype == torch.bfloat16


def test_float32_on_a_gpu_is_not_rounded_to_tf32():
    set_matmul_precision("float32")
    assert torch.get_float32_matmul_precision() == "highest" and not torch.backends.cudnn.allow_tf32
    set_matmul_precision("bfloat16")
    assert torch.get_float32_matmul_precision() == "high" and torch.backends.cudnn.allow_tf32
    set_matmul_precision("float32")


@pytest.fixture
def deterministic():
    """As `runtime.deterministic` sets it, and back."""
    enable_determinism()
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cuda.enable_mem_efficient_sdp(True)


@pytest.mark.parametrize("name", [name for name in methods.names() if methods.find(name).trainable])
def test_every_method_has_deterministic_kernels(name, deterministic, task, batches):
    assert torch.are_deterministic_algorithms_enabled()
    method = build(name, task)
    method.on_fit_start(batches, batches)
    loss = method.losses(batches.batch(0, 0))[0]
    loss.backward()
    assert loss.isfinite()


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_gpu_gives_what_the_cpu_gives(precision, task, batches):
    model = task.backbone.model
    images = batches.batch(0, 0).images
    set_matmul_precision(precision)
    expected = task.backbone.encode_image(images)
    try:
        gpu = replace(task.backbone, model=model.cuda(), device=torch.device("cuda"), precision=precision)
        found = gpu.encode_image(images.cuda()).cpu()
    finally:
        model.cpu()
        set_matmul_precision("float32")
    error = float((found - expected).norm() / expected.norm())
    assert error < (1e-5 if precision == "float32" else 0.05)


@pytest.mark.gpu
@needs_gpu
def test_real_lack_of_memory_is_answered(said):
    """A batch that no GPU holds is cut until it fits."""
    size = torch.cuda.get_device_properties(0).total_memory // 2

    def work(part: slice) -> int:
        return torch.empty((part.stop - part.start) * size, dtype=torch.uint8, device="cuda").numel() // size

    assert sum(oom.AdaptiveBatch(8).each(work, range(8))) == 8 and said()
