"""A tuning step with the plain encoders of adapt/clip/reference.py.

It has 77 positions per class and runs the teacher in each step. The library has to agree in values and gradients.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from adapt.clip.encoders import Injection, TextInput
from adapt.clip.reference import encode_image, encode_text
from adapt.distillation import Features, logits

CONTEXT = 77


def unpack(text: TextInput, tokens: int = 0) -> tuple[Tensor, Tensor]:
    """Return texts [c, 77 - tokens, d], embedded and padded, and each one's end."""
    own = torch.nn.utils.rnn.pad_sequence(list(text.suffixes.split(text.lengths)), batch_first=True)
    x = torch.cat([text.prefix.expand(len(own), -1, -1), own], dim=1)
    ends = len(text.prefix) + torch.tensor(text.lengths) - 1
    return F.pad(x, (0, 0, 0, CONTEXT - tokens - x.shape[1])), ends


def prompts(method, branch: str) -> list[Tensor | None]:
    """Return a method's prompts, one per layer."""
    injection: Injection = method.injection(branch)
    return list(injection.prompts or [None] * method.task.backbone.layers[branch])


def text_features(method, classes: slice = slice(None)) -> Tensor:
    """Return a method's text features of some of its classes, not normalised."""
    context = prompts(method, "text")
    tokens = 0 if context[0] is None or method.insert_at == 0 else len(context[0])
    x, ends = unpack(method.text(), tokens)
    return encode_text(method.task.backbone.model, x[classes], ends[classes], context, method.insert_at)


def losses(method, batch) -> Tensor:
    """Return a method's loss by the plain encoders.

    The frozen model's image features are computed in each call.
    """
    model, scale, context = method.task.backbone.model, method.task.backbone.logit_scale, prompts(method, "image")
    text, image = text_features(method), encode_image(model, batch.images, context)
    with torch.no_grad():
        teacher = F.normalize(encode_image(model, batch.images, [None] * len(context)), dim=-1)
    student = Features(F.normalize(text, dim=-1), F.normalize(image, dim=-1))
    loss = F.cross_entropy(logits(student, scale), batch.labels)
    for _, weight, value in method.loss_terms(student, replace(batch, teacher=teacher)):
        loss = loss + weight * value
    return loss
