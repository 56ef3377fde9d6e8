"""Every baseline gives the numbers of its authors' published code."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from adapt.config import SGDConfig
from adapt.data.loader import Batch
from adapt.distillation import Features, logits
from adapt.methods.clip_lora import ClipLora
from adapt.methods.cocoop import CoCoop
from adapt.methods.coop import Coop
from adapt.methods.ivlp import Ivlp
from adapt.methods.maple import Maple
from adapt.methods.promptsrc import PromptSrc, gpa_weights
from adapt.methods.vpt import Vpt
from adapt.methods.zero_shot import ZeroShot

DEEPER = "transformer.resblocks.1.VPT_shallow"
SGD = SGDConfig(
    name="sgd", lr=0.0025, momentum=0.9, weight_decay=0.0, epochs=5, batch_size=4, warmup_epochs=1, warmup_lr=1e-5
)
IVLP = {"n_ctx_text": 4, "n_ctx_vision": 4, "prompt_depth": 2, "ctx_init": "a photo of a", "init_std": 0.02}


@pytest.fixture(scope="module")
def batch(golden_images, golden) -> Batch:
    """The golden images and labels; the frozen model's features of them."""
    teacher = F.normalize(golden("zeroshot.safetensors")["image_features"], dim=-1)
    return Batch(lambda: golden_images, torch.tensor([0, 3, 4]), teacher)


def put(parameter: torch.nn.Parameter, value: torch.Tensor) -> torch.nn.Parameter:
    with torch.no_grad():
        parameter.copy_(value)
    return parameter


@pytest.fixture
def agrees(batch, golden, relative_error):
    """A function that compares a method with a golden file.

    Its arguments: the method, the file's name, the key of the loss there, and the parameter of each golden gradient.
    """

    def check(method, name: str, loss: str, gradients: dict[str, torch.nn.Parameter]) -> dict[str, torch.Tensor]:
        known = golden(f"{name}.safetensors")
        total, terms = method.losses(batch)
        total.backward()
        assert relative_error(method.classifier()(batch.images), known["logits"]) < 1e-5
        assert relative_error(total, known[loss]) < 1e-5
        for key, parameter in gradients.items():
            assert relative_error(parameter.grad, known[key]) < 1e-4, key
        return {name: term.detach() for name, term in terms.items()}

    return check


def test_golden_zero_shot(golden_task, golden_images, golden, relative_error):
    logits = ZeroShot(golden_task, text="template").classifier()(golden_images)
    assert relative_error(logits, golden("zeroshot.safetensors")["logits"]) < 1e-5


def test_golden_teacher(golden_task, golden, relative_error):
    known = F.normalize(golden("zeroshot.safetensors")["ensemble_text_features"], dim=-1)
    assert relative_error(golden_task.teacher, known) < 1e-5


@pytest.mark.parametrize(
    ("name", "class_place", "class_specific"),
    [
        ("coop_end", "end", False),
        ("coop_middle", "middle", False),
        ("coop_front", "front", False),
        ("coop_end_csc", "end", True),
    ],
)
def test_golden_coop(name, class_place, class_specific, golden_task, golden, agrees):
    method = Coop(
        golden_task, n_ctx=4, ctx_init=None, class_token_position=class_place, csc=class_specific, init_std=0.02
    )
    put(method.context, golden(f"{name}.safetensors")["ctx"])
    agrees(method, name, "loss", {"grad_ctx": method.context})


def test_golden_cocoop(golden_task, golden, agrees):
    known = golden("cocoop.safetensors")
    method = CoCoop(golden_task, ctx_init="a photo of a", meta_net_reduction=16)
    put(method.context, known["ctx"])
    net = {"linear1": method.net[0], "linear2": method.net[2]}
    parameters = {f"{layer}.{part}": getattr(net[layer], part) for layer in net for part in ("weight", "bias")}
    for key, parameter in parameters.items():
        put(parameter, known[f"meta_net.{key}"])
    gradients = {f"grad_meta_net.{key}": parameter for key, parameter in parameters.items()}
    agrees(method, "cocoop", "loss", {"grad_ctx": method.context} | gradients)


def test_golden_vpt(golden_task, golden, agrees):
    known = golden("vpt.safetensors")
    method = Vpt(golden_task, n_ctx=4, prompt_depth=2, init_std=0.02, template="a photo of a {}.")
    keys = ("image_encoder.VPT", f"image_encoder.{DEEPER}")
    gradients = {f"grad.{k}": put(p, known[f"param.{k}"]) for k, p in zip(keys, method.prompts, strict=True)}
    agrees(method, "vpt", "ce", gradients)


def set_ivlp(method: Ivlp, known: dict[str, torch.Tensor]) -> dict[str, torch.nn.Parameter]:
    keys = ("ctx", f"text_encoder.{DEEPER}", "image_encoder.VPT", f"image_encoder.{DEEPER}")
    prompts = [*method.text_list, *method.image_list]
    return {f"grad.{key}": put(prompt, known[f"param.{key}"]) for key, prompt in zip(keys, prompts, strict=True)}


def test_golden_ivlp(golden_task, golden, agrees):
    method = Ivlp(golden_task, **IVLP)
    agrees(method, "ivlp", "ce", set_ivlp(method, golden("ivlp.safetensors")))


def test_golden_promptsrc(golden_task, golden, agrees, relative_error):
    known = golden("promptsrc.safetensors")
    method = PromptSrc(
        golden_task,
        **IVLP,
        text_loss_weight=25.0,
        image_loss_weight=10.0,
        logits_loss_weight=1.0,
        gpa_mean=15.0,
        gpa_std=1.0,
        optimizer=SGD,
    )
    terms = agrees(method, "promptsrc", "loss", set_ivlp(method, known))
    for name, key, weight in (
        ("cross_entropy", "ce", 1),
        ("l1_text",) * 2 + (25,),
        ("l1_image",) * 2 + (10,),
        ("kl", "kl", 1),
    ):
        assert relative_error(weight * terms[name], known[key]) < 1e-5, name


def test_golden_promptsrc_teacher(golden_task, batch, golden, relative_error):
    known = golden("promptsrc.safetensors")
    assert relative_error(golden_task.teacher, known["teacher_text"]) < 1e-5
    assert relative_error(batch.teacher, known["teacher_image"]) < 1e-5


@pytest.mark.parametrize(("mean", "deviation", "epochs"), [(15.0, 1.0, 20), (30.0, 30.0, 50), (45.0, 5.0, 50)])
def test_golden_gaussian_weights(mean, deviation, epochs, golden, relative_error):
    known = golden("promptsrc_gpa.safetensors")[f"mean{mean:.0f}_std{deviation:.0f}_epochs{epochs}"]
    assert relative_error(torch.tensor(gpa_weights(mean, deviation, epochs)), known) < 1e-5


def test_golden_maple(golden_task, golden, agrees, relative_error):
    known = golden("maple.safetensors")
    method = Maple(golden_task, n_ctx=2, prompt_depth=2, ctx_init="a photo of a", init_std=0.02)
    learner = "prompt_learner"
    parameters = {
        f"{learner}.compound_prompt_projections.0.bias": method.maps[1].bias,
        f"{learner}.compound_prompt_projections.0.weight": method.maps[1].weight,
        f"{learner}.compound_prompts_text.0": method.text_list[1],
        f"{learner}.ctx": method.text_list[0],
        f"{learner}.proj.bias": method.maps[0].bias,
        f"{learner}.proj.weight": method.maps[0].weight,
    }
    for i, key in enumerate(sorted(parameters)):
        if key.endswith("ctx"):
            value = known[f"param.{key}"]
        else:
            drawn = np.random.RandomState(90 + i).standard_normal(tuple(parameters[key].shape)) * 0.02
            value = torch.from_numpy(drawn.astype(np.float32))
        put(parameters[key], value)
        if f"param.{key}" in known:
            assert torch.equal(parameters[key].detach(), known[f"param.{key}"]), key
    agrees(method, "maple", "ce", {f"grad.{k}": p for k, p in parameters.items() if not k.endswith("weight")})
    for key in (k for k in parameters if k.endswith("weight")):
        assert relative_error(parameters[key].grad[:4], known[f"grad.{key}[:4]"]) < 1e-4, key


LORA = [  # the golden's order
    (branch, projection, layer, side)
    for branch in ("text", "image")
    for layer in range(3)
    for projection in ("k", "q", "v")
    for side in ("down", "up")
]


def lora(task, of: type = ClipLora) -> ClipLora:
    """CLIP-LoRA with the golden's adapters."""
    method = of(task, r=2, alpha=1.0, dropout_rate=0.0, template="a photo of a {}.")
    for i, (branch, projection, layer, side) in enumerate(LORA):
        part = getattr(method, side)[f"{branch}_{projection}"]
        drawn = np.random.RandomState(400 + i).standard_normal(tuple(part[layer].shape)) * 0.05
        with torch.no_grad():
            part[layer] = torch.from_numpy(drawn.astype(np.float32))
    return method


class WithoutDropout(ClipLora):
    """The authors' code where nothing is dropped.

    It adds B·A to the weight in place, takes it away after the forward pass, and so differentiates by the layer's input
    through the frozen weight alone. With dropout, its default, it adds the adapter's output and has no such gap.
    """

    def drop(self, y: torch.Tensor) -> torch.Tensor:
        return y.detach()


def test_golden_clip_lora(golden_task, batch, golden, agrees, relative_error):
    known = golden("clip_lora.safetensors")
    method = lora(golden_task, of=WithoutDropout)
    agrees(method, "clip_lora", "ce", {})
    norms = [getattr(method, side)[f"{branch}_{p}"].grad[layer].norm() for branch, p, layer, side in LORA]
    assert relative_error(torch.stack(norms), known["grad_norms"]) < 1e-4
    assert relative_error(method.text_features(), known["text_features"]) < 1e-5
    assert relative_error(method.image_features(batch.images), known["image_features"]) < 1e-5


def test_golden_clip_lora_values(golden_task, agrees):
    agrees(lora(golden_task), "clip_lora", "ce", {})


def test_lora_gradient_is_that_of_merged_weights(golden_task, batch, relative_error):
    """By the chain rule, with weights W + s·B·A in the encoders: ∂L/∂B = s·∂L/∂W·Aᵀ."""
    method, model = lora(golden_task), copy.deepcopy(golden_task.backbone.model)
    method.losses(batch)[0].backward()
    towers = {"text": model.transformer, "image": model.visual.transformer}
    weights = {}
    for branch, tower in towers.items():
        for layer, block in enumerate(tower.resblocks):
            added = [method.up[f"{branch}_{p}"][layer] @ method.down[f"{branch}_{p}"][layer] for p in ("q", "k", "v")]
            merged = block.attn.in_proj_weight + method.factor * torch.cat(added).detach()
            weights[branch, layer] = block.attn.in_proj_weight = torch.nn.Parameter(merged)
    plain = ZeroShot(replace(golden_task, backbone=replace(golden_task.backbone, model=model)), text="template")
    student = Features(plain.text_features(), plain.image_features(batch.images))
    F.cross_entropy(logits(student, golden_task.backbone.logit_scale), batch.labels).backward()
    for (branch, layer), weight in weights.items():
        for part, projection in zip(weight.grad.chunk(3), ("q", "k", "v"), strict=True):
            key = f"{branch}_{projection}"
            expected = method.factor * part @ method.down[key][layer].T
            assert relative_error(method.up[key].grad[layer], expected) < 1e-4, key
