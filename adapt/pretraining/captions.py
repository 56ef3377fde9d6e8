"""The captions of the pocket CLIP's pre-training: phrases set into templates.

The phrases describe icons and characters in more or less detail ("arrow", "arrow up", "arrow up bold outline"). A
phrase is true of every drawing whose phrases include it, so a caption can be a positive of several images in a batch.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from open_clip.tokenizer import SimpleTokenizer
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

from adapt.data.glyphs import Glyph, Mask, characters, icons, mask

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = "abcdefghijklmnopqrstuvwxyz"

# The parts of a family's names that are no words: their origin, the style of drawing, the number of a variant.
CLEAN = {
    "material": r"",
    "codicon": r"",
    "elusive": r"-alt$",
    "bootstrap": r"-fill\b|(?<=[a-z]{3})\d(?=-|$)",
    "eva": r"^eva-|-outline$",
    "fluent": r"^ic-fluent-|-\d+-(regular|filled)$",
    "google": r"-(outlined?|rounded|sharp|ios|alt)\b",
    "ionicons": r"^ion-|\b(ios|android|md)-|-outline$|-[abc]$",
    "lucide": r"^icon-|-\d$",
    "typicons": r"^typcn-|-outline$",
}
SIZED = re.compile(r"(.*)-(\d+)-(regular|filled)")  # a name in Fluent, which has the same drawing in several sizes
SIZE = 24  # this size is taken, or the nearest one

# First words of trade marks, which do not describe the drawing. Words that also name things ("apple") are not listed.
BRANDS = frozenset(
    """
    adobe airbnb alipay android angular angularjs ansible aws azure behance bitbucket blogger bluesky brand
    chrome claude codepen css3 dailymotion debian deviantart devto digg discord disqus docker dribbble dropbox
    drupal ebay evernote facebook fedora figma firebase firefox flattr flickr forrst foursquare freebsd
    friendfeed github gitlab gmail gnome google hackernews html5 hubspot instagram javascript jenkins jsfiddle
    kickstarter kodi kubernetes laravel lastfm linkedin linux logo magento mastodon microsoft mixcloud myspace
    netflix nodejs npm odnoklassniki onedrive openai openid paypal perplexity php picasa pinterest playstation
    quora raspberry rdio reddit rollup scribd shopify sina skype slideshare snapchat social soundcloud spotify
    stackoverflow strava stumbleupon substack telegram tiktok tripadvisor tumblr tux twitch twitter ubuntu
    viadeo vimeo vk vuejs wechat whatsapp wikipedia wordpress xbox xing yahoo yelp youtube
    """.split()
)

# Words for the style in which an icon is drawn, not for the thing it shows.
STYLES = frozenset({"outline", "bold", "thin", "thick", "variant", "box", "circle", "filled", "solid"})

# Words in the names of icons whose mirror image would be another icon, or a wrong one.
SIDED = frozenset(
    ("abjad", "abugida", "alpha", "alphabet", "alphabetical", "clock", "code", "counterclockwise", "clockwise",
     "currency", "database", "exclamation", "first", "forward", "format", "backward", "function", "greater", "last",
     "left", "less", "math", "next", "numeric", "number", "percent", "previous", "question", "rewind", "redo", "right",
     "roman", "sigma", "sign", "step", "syllabary", "undo", "slash", "text", "timer", "history", "arrow", "chevron",
     "rotate", "skip", "fast", "end", "start", "east", "west")
)  # fmt: skip

_SHORT = ("{}", "a {}", "the {}", "{} icon", "{}.", "a {}.")
_ICON = ("an icon of a {}.", "an icon of the {}.", "a photo of a {}.", "a symbol of a {}.", "a picture of a {}.",
         "the {} icon.", "a sign for {}.", "a photo of a {} icon.", "a {} symbol.", "a pictogram of a {}.")  # fmt: skip
_DIGIT = ("number {}", "the number {}", "digit {}", "a photo of the number {}.", "a photo of the digit {}.",
          'a photo of the number: "{}".', "the digit {}.", "a handwritten digit {}.", "an image of the number {}.",
          "a picture of a {}.", "a photo of a {}.")  # fmt: skip
_LETTER = ("letter {}", "the letter {}", "a photo of the letter {}.", "the letter {}.", "a handwritten letter {}.",
           "an image of the letter {}.", "a photo of a {}.", "a photo of {}.")  # fmt: skip
_PHOTO = tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
# Per kind of subject: sets of templates, and the probability of each set.
TEMPLATES = {
    "icon": ((_SHORT, 0.3), (_ICON, 0.4), (_PHOTO, 0.3)),
    "digit": ((_SHORT, 0.2), (_DIGIT, 0.5), (_PHOTO, 0.3)),
    "letter": ((_SHORT, 0.2), (_LETTER, 0.5), (_PHOTO, 0.3)),
}
# Per kind: the weights of a drawing's first phrase, of each phrase in between, and of its last phrase.
PHRASES = {"icon": (0.2, 0.1, 0.1, 0.6), "digit": (0.6, 0.4), "letter": (0.5, 0.2, 0.3)}


class Subject(NamedTuple):
    """A drawing with the phrases that are true of it, the most informative first."""

    glyph: Glyph
    mask: Mask
    kind: str
    phrases: tuple[str, ...]
    sided: bool


def words_of(family: str, name: str) -> list[str]:
    """Return the name of an icon as words."""
    return [word for word in re.sub(CLEAN[family], "", name.replace("_", "-")).split("-") if word]


def phrases(words: Sequence[str]) -> tuple[str, ...]:
    """Return the phrases for an icon.

    They are its whole name, the name without words of style, its first two words and its first word.
    """
    plain = [word for word in words if word not in STYLES] or words[:1]
    return tuple(dict.fromkeys(" ".join(part) for part in (words, plain, words[:2], words[:1])))


def one_size(glyphs: Iterable[Glyph]) -> list[Glyph]:
    """Return one glyph of each drawing: where a family has several sizes, the nearest.

    The nearest is that to `SIZE`.
    """
    found: dict[object, tuple[int, Glyph]] = {}
    for glyph in glyphs:
        sized = SIZED.fullmatch(glyph.name)
        name, off = (sized[1], abs(int(sized[2]) - SIZE)) if sized else (glyph.name, 0)
        if (name, glyph.font) not in found or off < found[name, glyph.font][0]:
            found[name, glyph.font] = off, glyph
    return [glyph for _, glyph in found.values()]


def icon_subjects(family: str) -> list[Subject]:
    """Return the icons of a family, their names reduced to words.

    Trade marks, blank icons and repetitions of a drawing under one name are left out.
    """
    found: dict[tuple[str, bytes], Subject] = {}
    for glyph in one_size(icons(family)):
        words, cover = words_of(family, glyph.name), mask(glyph)
        if words and words[0] not in BRANDS and cover.any():
            subject = Subject(glyph, cover, "icon", phrases(words), not SIDED.isdisjoint(words))
            found.setdefault((subject.phrases[0], cover.tobytes()), subject)
    return list(found.values())


def subjects(families: Iterable[str]) -> list[Subject]:
    """Return all drawings of the pre-training set: icons of families, digits, letters."""
    found = [subject for family in families for subject in icon_subjects(family)]
    for glyph in characters("".join(map(str, range(10)))):
        found.append(Subject(glyph, mask(glyph), "digit", (DIGITS[int(glyph.name)], glyph.name), True))
    for glyph in characters(LETTERS + LETTERS.upper()):
        case = "capital" if glyph.name.isupper() else "small"
        letter = glyph.name.lower()
        said = letter, f"{case} {letter}", f"{case} letter {letter}"
        found.append(Subject(glyph, mask(glyph), "letter", said, True))
    return found


class Captions:
    """The tokenised templates and phrases of `subjects`, in a compact vocabulary.

    The vocabulary has only the tokens in use: `vocabulary[i]` is open_clip's token of compact token i. The tokens
    ascend, so that the end token stays the largest, by which CLIP finds it; compact token 0 is the padding. `length`
    bounds the length of a caption.
    """

    def __init__(self, subjects: Sequence[Subject]) -> None:
        tokenizer = SimpleTokenizer()
        self.phrases = sorted({phrase for subject in subjects for phrase in subject.phrases})
        self.index = {phrase: i for i, phrase in enumerate(self.phrases)}
        templates = sorted({template for sets in TEMPLATES.values() for group, _ in sets for template in group})
        said = [tokenizer.encode(phrase) for phrase in self.phrases]
        # The tokenizer first splits at blanks and punctuation, so the parts can be tokenised apart and then joined.
        around = [[tokenizer.encode(part) for part in template.split("{}")] for template in templates]
        ends = tokenizer.sot_token_id, tokenizer.eot_token_id
        self.vocabulary = sorted({0, *ends}.union(*said, *(part for parts in around for part in parts)))
        compact = {token: i for i, token in enumerate(self.vocabulary)}
        self._said = [[compact[token] for token in tokens] for tokens in said]
        self._around = {
            template: (
                [compact[ends[0]], *(compact[t] for t in before)],
                [*(compact[t] for t in after), compact[ends[1]]],
            )
            for template, (before, after) in zip(templates, around, strict=True)
        }
        self.length = max(map(len, self._said)) + max(len(a) + len(b) for a, b in self._around.values())

    def tokens(self, phrase: int, template: str) -> list[int]:
        """Return the compact tokens of a phrase in a template, with start and end token."""
        before, after = self._around[template]
        return [*before, *self._said[phrase], *after]

    def draw(self, subject: Subject, rng: np.random.Generator) -> tuple[int, list[int]]:
        """Draw a random caption of a drawing: the phrase's number and the tokens."""
        amount, shares = len(subject.phrases), PHRASES[subject.kind]
        weights = np.array(shares[: amount - 1] + shares[-1:])
        phrase = self.index[subject.phrases[rng.choice(amount, p=weights / weights.sum())]]
        sets = TEMPLATES[subject.kind]
        group = sets[rng.choice(len(sets), p=[share for _, share in sets])][0]
        return phrase, self.tokens(phrase, group[rng.integers(len(group))])
