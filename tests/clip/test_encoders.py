"""The encoders equal open_clip, the plain version and published code's numbers."""

import open_clip
import pytest
import torch
from torch.nn import functional as F

from adapt.clip import packing, reference
from adapt.clip.attention import Mixture
from adapt.clip.encoders import Injection, TextInput, embed, encode_image, encode_text, split_prefix
from tests.conftest import CLASSES

LABELS = torch.tensor([0, 3, 4])
WIDTHS = {"text": 512, "image": 768}
DEEPER = "transformer.resblocks.1.VPT_shallow"


@pytest.fixture(scope="module")
def tokens() -> torch.Tensor:
    return open_clip.tokenize([f"a photo of a {name}." for name in CLASSES])


@pytest.fixture(scope="module")
def text(golden_clip, tokens) -> TextInput:
    return split_prefix(golden_clip, tokens)


@pytest.fixture(params=[(1, 3), (64, 1)], ids=lambda param: f"rows of about {param[0]}")
def in_rows(request, text, monkeypatch) -> None:
    """The five classes, packed into three rows and into one."""
    width, rows = request.param
    assert len(packing.assign_rows(text.lengths, width)) == rows
    monkeypatch.setattr(packing, "ROW_LENGTH", width)


def random_prompts(branch: str, lengths: list[int], seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(n, WIDTHS[branch], generator=generator) * 0.1).requires_grad_() for n in lengths]


def cross_entropy(model, image: torch.Tensor, text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = model.logit_scale.exp() * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    return logits, F.cross_entropy(logits, LABELS)


def test_tokens_are_the_golden_ones(tokens, golden):
    assert torch.equal(tokens, golden("zeroshot.safetensors")["tokens"])


def test_shared_part_is_the_common_prefix(golden_clip, text):
    common = open_clip.tokenize(["a photo of a"])[0, :5]  # with the start-of-text token
    assert torch.equal(text.prefix, embed(golden_clip, common))


def test_own_parts_are_packed_without_padding(golden_clip, tokens, text):
    last = tokens.argmax(dim=1)
    assert text.lengths == [end + 1 - 5 for end in last.tolist()]
    expected = [embed(golden_clip, row[5 : end + 1], start=5) for row, end in zip(tokens, last, strict=True)]
    assert torch.equal(text.suffixes, torch.cat(expected))


def test_gates_get_the_same_gradients_however_classes_are_packed(golden_clip, text, monkeypatch, relative_error):
    prompts = random_prompts("text", [2, 0, 3])

    def differentiate(width):
        monkeypatch.setattr(packing, "ROW_LENGTH", width)
        gates = [torch.linspace(-1, 1, len(prompt)).requires_grad_() for prompt in prompts]
        features = encode_text(golden_clip, text, Injection(prompts, gates))
        return torch.cat([*torch.autograd.grad(features.square().sum(), [gates[0], gates[2]])])

    assert relative_error(differentiate(1), differentiate(64)) < 1e-4  # three rows, one


def test_context_takes_words_and_their_positions(golden_clip, tokens, text):
    without = split_prefix(golden_clip, tokens, n_ctx=3)
    assert torch.equal(without.prefix, text.prefix[[0, 4]])
    assert torch.equal(without.suffixes, text.suffixes)


def test_single_class_keeps_its_end_in_its_own_part(golden_clip, tokens):
    alone = split_prefix(golden_clip, tokens[:1])
    assert alone.lengths == [1]


def test_no_prompts_equals_open_clip_text(golden_clip, tokens, text, relative_error):
    assert relative_error(encode_text(golden_clip, text), golden_clip.encode_text(tokens)) < 1e-5


def test_no_prompts_equals_open_clip_image(golden_clip, golden_images, relative_error):
    assert relative_error(encode_image(golden_clip, golden_images), golden_clip.encode_image(golden_images)) < 1e-5


def test_golden_zero_shot(golden_clip, golden_images, text, golden, relative_error):
    known = golden("zeroshot.safetensors")
    seen, read = encode_image(golden_clip, golden_images), encode_text(golden_clip, text)
    logits, _ = cross_entropy(golden_clip, seen, read)
    assert relative_error(seen, known["image_features"]) < 1e-5
    assert relative_error(read, known["text_features"]) < 1e-5
    assert relative_error(logits, known["logits"]) < 1e-5


@pytest.mark.parametrize("name", ["kv_hetero", "kv_homog", "kv_none"])
def test_golden_key_value_prompts(name, golden_clip, golden_images, text, golden, relative_error):
    known = golden(f"{name}.safetensors")
    prompts = {
        branch: [known.get(f"param.{branch}.{layer}", torch.zeros(0, width)).requires_grad_() for layer in range(3)]
        for branch, width in WIDTHS.items()
    }
    seen = encode_image(golden_clip, golden_images, Injection(prompts["image"]))
    read = encode_text(golden_clip, text, Injection(prompts["text"]))
    logits, loss = cross_entropy(golden_clip, seen, read)
    assert relative_error(F.normalize(seen, dim=-1), known["image_features"]) < 1e-5
    assert relative_error(F.normalize(read, dim=-1), known["text_features"]) < 1e-5
    assert relative_error(logits, known["logits"]) < 1e-5
    assert relative_error(loss, known["ce"]) < 1e-5
    gradients = {key: value for key, value in known.items() if key.startswith("grad.")}
    if gradients:
        loss.backward()
    for key, value in gradients.items():
        _, branch, layer = key.split(".")
        assert relative_error(prompts[branch][int(layer)].grad, value) < 1e-4, key


def test_golden_carried_image_context(golden_clip, golden_images, text, golden, relative_error):
    known = golden("vpt.safetensors")
    keys = ("image_encoder.VPT", f"image_encoder.{DEEPER}")
    first, deeper = (known[f"param.{key}"].requires_grad_() for key in keys)
    seen = encode_image(golden_clip, golden_images, Injection([golden_clip.visual.ln_pre(first), deeper, None]))
    logits, loss = cross_entropy(golden_clip, seen, encode_text(golden_clip, text))
    loss.backward()
    assert relative_error(logits, known["logits"]) < 1e-5
    for key, param in zip(keys, (first, deeper), strict=True):
        assert relative_error(param.grad, known[f"grad.{key}"]) < 1e-4, key


def test_golden_carried_text_context(in_rows, golden_clip, golden_images, tokens, golden, relative_error):
    known = golden("ivlp.safetensors")
    params = {key[6:]: value.requires_grad_() for key, value in known.items() if key.startswith("param.")}
    instead = split_prefix(golden_clip, tokens, n_ctx=4)
    context = params["ctx"] + golden_clip.positional_embedding[1:5]
    read = encode_text(golden_clip, instead, Injection([context, params[f"text_encoder.{DEEPER}"], None]), insert_at=1)
    image = [golden_clip.visual.ln_pre(params["image_encoder.VPT"]), params[f"image_encoder.{DEEPER}"], None]
    logits, loss = cross_entropy(golden_clip, encode_image(golden_clip, golden_images, Injection(image)), read)
    loss.backward()
    assert relative_error(logits, known["logits"]) < 1e-5
    for key, param in params.items():
        assert relative_error(param.grad, known[f"grad.{key}"]) < 1e-4, key


def assert_equal(short, long, mine, theirs, relative_error) -> None:
    """Compare features and prompt gradients of the fast and the plain encoder."""
    weights = torch.randn(short.shape, generator=torch.Generator().manual_seed(1))
    (short * weights).sum().backward()
    (long * weights).sum().backward()
    assert relative_error(short, long) < 1e-5
    for a, b in zip(mine, theirs, strict=True):
        if len(a):
            assert relative_error(a.grad, b.grad) < 1e-4


@pytest.mark.parametrize("lengths", [[4, 1, 0], [0, 0, 3], [2, 2, 2]])
def test_text_equals_plain_version(in_rows, lengths, golden_clip, tokens, text, relative_error):
    mine, theirs = random_prompts("text", lengths), random_prompts("text", lengths)
    short = encode_text(golden_clip, text, Injection(mine))
    long = reference.encode_text(golden_clip, embed(golden_clip, tokens), tokens.argmax(dim=1), theirs)
    assert_equal(short, long, mine, theirs, relative_error)


@pytest.mark.parametrize("lengths", [[4, 1, 0], [0, 0, 3], [2, 2, 2]])
def test_image_equals_plain_version(lengths, golden_clip, golden_images, relative_error):
    mine, theirs = random_prompts("image", lengths), random_prompts("image", lengths)
    short, long = (
        encode_image(golden_clip, golden_images, Injection(mine)),
        reference.encode_image(golden_clip, golden_images, theirs),
    )
    assert_equal(short, long, mine, theirs, relative_error)


def test_template_that_starts_with_the_class_shares_only_its_start(golden_clip, relative_error):
    tokens = open_clip.tokenize([f"{name} texture." for name in CLASSES])
    text = split_prefix(golden_clip, tokens)
    assert len(text.prefix) == 1
    assert relative_error(encode_text(golden_clip, text), golden_clip.encode_text(tokens)) < 1e-5


@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_chunks_of_classes_change_neither_values_nor_gradients(chunk, golden_clip, text, relative_error):
    whole, parts = random_prompts("text", [2, 0, 1]), random_prompts("text", [2, 0, 1])
    expected, got = (
        encode_text(golden_clip, text, Injection(whole)),
        encode_text(golden_clip, text, Injection(parts), chunk=chunk),
    )
    expected.pow(2).sum().backward()
    got.pow(2).sum().backward()
    assert relative_error(got, expected) < 1e-5
    for a, b in zip(whole, parts, strict=True):
        if len(a):
            assert relative_error(b.grad, a.grad) < 1e-4


@pytest.mark.parametrize("branch", ["text", "image"])
def test_bias_of_minus_infinity_removes_a_token(in_rows, branch, golden_clip, golden_images, text, relative_error):
    def encode(prompts, biases=None):
        if branch == "text":
            return encode_text(golden_clip, text, Injection(prompts, biases))
        return encode_image(golden_clip, golden_images, Injection(prompts, biases))

    prompts = [prompt.detach() for prompt in random_prompts(branch, [3, 2, 1])]
    biases = [torch.tensor([0.0, float("-inf"), 0.0]), torch.zeros(2), torch.tensor([float("-inf")])]
    without = [prompts[0][[0, 2]], prompts[1], prompts[2][:0]]
    assert relative_error(encode(prompts, biases), encode(without)) < 1e-5


def mixed_by_hand(block, x, contexts, weights, causal):
    """Compute x + Σ w·attention, then the MLP.

    This is the mean of the alternatives' outputs before the residual sum.
    """
    parts = []
    for context in contexts:
        y = torch.cat([context.expand(len(x), -1, -1), x], dim=1)
        hidden = torch.ones(y.shape[1], y.shape[1], dtype=torch.bool).triu(1) if causal else None
        parts.append(reference.attention(block, y, hidden)[:, len(context) :])
    x = x + sum(w * part for w, part in zip(weights, parts, strict=True))
    return x + block.mlp(block.ln_2(x))


@pytest.mark.parametrize("branch", ["text", "image"])
def test_mixture_of_contexts_mixes_the_outputs_of_attention(
    in_rows, branch, golden_clip, golden_images, text, tokens, relative_error
):
    options, weights = [*random_prompts(branch, [2, 3]), torch.zeros(0, WIDTHS[branch])], torch.tensor([0.5, 0.3, 0.2])
    stream = Injection([Mixture(options, weights)] * 3)
    if branch == "text":
        x = golden_clip.token_embedding(tokens) + golden_clip.positional_embedding
        for block in golden_clip.transformer.resblocks:
            x = mixed_by_hand(block, x, options, weights, causal=True)
        expected = golden_clip.ln_final(x)[torch.arange(5), tokens.argmax(dim=1)] @ golden_clip.text_projection
        assert relative_error(encode_text(golden_clip, text, stream), expected) < 1e-5
    else:
        x = golden_clip.visual._embeds(golden_images)
        for block in golden_clip.visual.transformer.resblocks:
            x = mixed_by_hand(block, x, options, weights, causal=False)
        expected = golden_clip.visual.ln_post(x)[:, 0] @ golden_clip.visual.proj
        assert relative_error(encode_image(golden_clip, golden_images, stream), expected) < 1e-5


def test_wrong_number_of_layers_is_refused(golden_clip, golden_images):
    with pytest.raises(ValueError, match="2 prompts, 3 biases and 3 adapters does not fit 3 blocks"):
        encode_image(golden_clip, golden_images, Injection([None, None]))


@pytest.mark.parametrize("prompts", [[3, None, 2], [None, 3, 2]], ids=["carried on", "never set"])
def test_bias_on_a_context_with_queries_is_refused(prompts, golden_clip, golden_images):
    contexts = [None if length is None else torch.zeros(length, 64) for length in prompts]
    with pytest.raises(ValueError, match="block 0 has a key bias, but its prompt"):
        encode_image(golden_clip, golden_images, Injection(contexts, [torch.zeros(3), None, None]))


@pytest.mark.parametrize("branch", ["text", "image"])
def test_layers_without_tokens_keep_no_graph(branch, golden_clip, golden_images, tokens):
    """So that nothing is differentiated below the first token that is left."""
    empty = [torch.zeros(0, WIDTHS[branch], requires_grad=True) for _ in range(3)]
    if branch == "text":
        found = encode_text(golden_clip, split_prefix(golden_clip, tokens), Injection(empty))
    else:
        found = encode_image(golden_clip, golden_images, Injection(empty))
    assert not found.requires_grad
