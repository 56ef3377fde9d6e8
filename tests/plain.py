"""The encoders once more, in the plainest way, and a tuning step with them.

77 positions a class, nothing shared, attention written out, prompts as tokens of the residual stream with queries and
an MLP of their own, the teacher asked anew in every step. The library has to agree in values and gradients.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from adapt.clip.encoders import Injection, TextInput
from adapt.distillation import Features, logits

CONTEXT = 77


def attention(block, x: Tensor, hidden: Tensor | None) -> Tensor:
    """softmax(q·kᵀ/√e)·v for x [b, s, d]; `hidden` [s, s] is True where a query does not see a key."""
    attn, (b, s, d) = block.attn, x.shape
    qkv = block.ln_1(x) @ attn.in_proj_weight.T + attn.in_proj_bias
    q, k, v = (part.reshape(b, s, attn.num_heads, -1).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
    scores = q @ k.transpose(-1, -2) / (d // attn.num_heads) ** 0.5
    if hidden is not None:
        scores = scores.masked_fill(hidden, float("-inf"))
    return attn.out_proj((scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(b, s, d))


def mlp(block, x: Tensor) -> Tensor:
    """Both layers with open_clip's activation between them."""
    hidden = block.mlp.c_fc(x)
    quick = type(block.mlp.gelu).__name__ == "QuickGELU"
    return block.mlp.c_proj(hidden * torch.sigmoid(1.702 * hidden) if quick else block.mlp.gelu(hidden))


def run_blocks(transformer, x: Tensor, prompts, place: int, causal: bool) -> Tensor:
    """All blocks over x [b, s, d], with each layer's prompt as tokens before place `place`."""
    context = x[:, :0]
    for layer, block in enumerate(transformer.resblocks):
        if prompts[layer] is not None:
            context = prompts[layer].expand(len(x), -1, -1)
        t = context.shape[1]
        y = torch.cat([x[:, :place], context, x[:, place:]], dim=1)
        hidden = torch.ones(y.shape[1], y.shape[1], dtype=torch.bool).triu(1) if causal else None
        y = y + attention(block, y, hidden)
        y = y + mlp(block, block.ln_2(y))
        x, context = torch.cat([y[:, :place], y[:, place + t :]], dim=1), y[:, place : place + t]
    return x


def encode_text(model, x: Tensor, ends: Tensor, prompts, place: int = 0) -> Tensor:
    """Features of embedded texts [c, s, d] that end at `ends`."""
    x = model.ln_final(run_blocks(model.transformer, x, prompts, place, causal=True))
    return x[torch.arange(len(x)), ends] @ model.text_projection


def encode_image(model, images: Tensor, prompts) -> Tensor:
    visual = model.visual
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(len(x), 1, -1), x], dim=1) + visual.positional_embedding
    x = run_blocks(visual.transformer, visual.ln_pre(x), prompts, place=x.shape[1], causal=False)
    return visual.ln_post(x[:, 0]) @ visual.proj


def unpack(text: TextInput, tokens: int = 0) -> tuple[Tensor, Tensor]:
    """Embedded texts [c, 77 - tokens, d], padded at the end, and where each class ends."""
    own = torch.nn.utils.rnn.pad_sequence(list(text.suffixes.split(text.lengths)), batch_first=True)
    x = torch.cat([text.prefix.expand(len(own), -1, -1), own], dim=1)
    ends = len(text.prefix) + torch.tensor(text.lengths) - 1
    return F.pad(x, (0, 0, 0, CONTEXT - tokens - x.shape[1])), ends


def prompts(method, branch: str) -> list[Tensor | None]:
    """A method's prompts, one a layer."""
    stream: Injection = method.injection(branch)
    return list(stream.prompts or [None] * method.task.backbone.layers[branch])


def text_features(method, classes: slice = slice(None)) -> Tensor:
    """A method's text features (not normalised) of some of its classes."""
    context = prompts(method, "text")
    tokens = 0 if context[0] is None or method.insert_at == 0 else len(context[0])
    x, ends = unpack(method.text(), tokens)
    return encode_text(method.task.backbone.model, x[classes], ends[classes], context, method.insert_at)


def losses(method, batch) -> Tensor:
    """A method's loss by the plain encoders, with the frozen model's image features computed on the spot."""
    model, scale, context = method.task.backbone.model, method.task.backbone.logit_scale, prompts(method, "image")
    text, image = text_features(method), encode_image(model, batch.images, context)
    with torch.no_grad():
        teacher = F.normalize(encode_image(model, batch.images, [None] * len(context)), dim=-1)
    student = Features(F.normalize(text, dim=-1), F.normalize(image, dim=-1))
    loss = F.cross_entropy(logits(student, scale), batch.labels)
    for _, weight, value in method.loss_terms(student, batch._replace(teacher=teacher)):
        loss = loss + weight * value
    return loss
