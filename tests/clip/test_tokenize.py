"""Class names as the tokenizer sees them: too long."""

from dataclasses import replace

import pytest

from adapt.clip import tokenize
from adapt.errors import UserError
from tests.methods.test_methods import build

LONG = " ".join(["very"] * 90 + ["long"])  # 91 tokens


def test_text_that_just_fits_is_taken(backbone):
    fits = " ".join(["very"] * 75)
    assert (
        tokenize.tokenize(backbone, [fits], "{}".format)[0, -1] == tokenize.tokenize(backbone, ["a"], "{}".format).max()
    )


@pytest.mark.parametrize("words", [76, 91, 300])
def test_longer_text_is_refused_by_class_tokens_and_limit(words, backbone):
    name = " ".join(["very"] * words)
    with pytest.raises(UserError, match=rf"class '{name}' has {words + 2} tokens .* but tiny reads only 77; give it a"):
        tokenize.tokenize(backbone, ["a", name], "{}".format)


def test_method_that_adds_tokens_is_told_of_what_it_alone_cannot_read(task):
    """A name that fits into the template, but not behind sixteen tokens of context."""
    other = replace(task, classes=[" ".join(["very"] * 65), *task.classes[1:]])
    assert other.text
    for place in ("end", "middle", "front"):
        with pytest.raises(UserError, match="has 84 tokens with the words around it, but tiny reads only 77"):
            build("coop", other, n_ctx=16, ctx_init=None, class_token_position=place)


@pytest.mark.parametrize("method", ["zero_shot", "coop", "cocoop", "vpt", "ivlp", "maple", "promptsrc", "clip_lora"])
def test_every_method_refuses_what_would_be_cut(method, task):
    with pytest.raises(UserError, match="tokens with the words around it"):
        build(method, replace(task, classes=[LONG, *task.classes[1:]])).text_features()


def test_words_that_alone_are_too_long_are_not_blamed_on_the_class(task):
    with pytest.raises(UserError, match="the words around the class names have 9. tokens even with the shortest"):
        task.text_input(LONG.replace("long", "{}"))
