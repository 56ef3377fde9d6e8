"""Random augmentation of glyph masks into images, in torch, a batch at a time.

It varies stroke, shape, position, colour and sharpness.
"""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from adapt.pretraining.captions import TEMPLATES, Captions, Subject

THIN = 7.5  # mean width of a drawing's strokes, in pixels of its mask, below which it may be redrawn
KEPT = 0.6  # of the icons keep their strokes, since the families already draw one thing in many strokes
LUMINANCE = (0.299, 0.587, 0.114)
AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # the ring of a pixel's neighbours
KEEPING = (
    ([0, 2, 4], [2, 4, 6]),
    ([0, 2, 6], [0, 4, 6]),
)  # by half-step: neighbours that keep a pixel if all of them are inked


@cache
def _peeled() -> NDArray[np.bool_]:
    """Return whether a border pixel is removed: [2, 256], by half-step and neighbours.

    Bit i of the second index tells whether the neighbour `AROUND[i]` is inked.
    """
    ring = (np.arange(256)[None] >> np.arange(8)[:, None]) & 1 > 0
    count, runs = ring.sum(0), (~ring & np.roll(ring, -1, axis=0)).sum(0)
    border = (count >= 2) & (count <= 6) & (runs == 1)
    # From the south-east, then from the north-west.
    kept = [ring[first].all(0) | ring[second].all(0) for first, second in KEEPING]
    return np.stack([border & ~keep for keep in kept])


def skeletons(masks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Thin masks [n, h, w] to strokes of one pixel, 0 or 255 (Zhang and Suen, 1984).

    A pen of any width can redraw them.
    """
    thin = np.pad(masks > 127, ((0, 0), (1, 1), (1, 1))).astype(np.uint8)
    for chunk in range(0, len(thin), 64):
        _thin(thin[chunk : chunk + 64])
    return thin[:, 1:-1, 1:-1] * np.uint8(255)


def _thin(ink: NDArray[np.uint8]) -> None:
    """Remove border pixels of ink [n, h, w] in place until none can be removed.

    The ink is 0 or 1; the outermost rows and columns are 0.
    """
    left = np.arange(len(ink))  # images that still change
    while len(left):
        part, before = ink[left], ink[left].sum((1, 2), dtype=np.int64)
        for peeled in _peeled():
            ring = sum(np.roll(part, (-y, -x), axis=(1, 2)) << bit for bit, (y, x) in enumerate(AROUND))
            part &= ~peeled[ring]
        ink[left] = part
        left = left[part.sum((1, 2), dtype=np.int64) < before]


def _uniform(low: float, high: float, *shape: int) -> Tensor:
    return torch.rand(*shape) * (high - low) + low


def thicken(x: Tensor, width: int) -> Tensor:
    """Grow ink [b, 1, h, w] by a square pen of odd `width`."""
    return F.max_pool2d(x, width, 1, width // 2)


def restroke(x: Tensor, skeleton: Tensor, thin: Tensor, free: Tensor) -> Tensor:
    """Redraw ink [b, 1, h, w] with another pen.

    Some `thin` [b] drawings are redrawn along their skeletons, characters (`free` [b]) more often than icons. Some
    solid drawings become outlines. Some of both are made bolder or lighter. A fraction `KEPT` of the icons stay as they
    are.
    """
    given, x = x, x.clone()
    kept = ~free & (torch.rand(len(x)) < KEPT)
    dice = torch.rand(len(x))
    redraw = thin & (dice < torch.where(free, 0.5, 0.35))
    size = torch.randint(1, 4, (len(x),)) * 2 + 1
    for width in (3, 5, 7):
        rows = torch.nonzero(redraw & (size == width)).flatten()
        x[rows] = thicken(skeleton[rows], width)
    rest = ~redraw
    rows = torch.nonzero(rest & ~thin & (dice < 0.3)).flatten()
    x[rows] = thicken(x[rows], 3) + thicken(1 - x[rows], 3) - 1  # 1 at edges, 0 inside and outside
    rows = torch.nonzero(rest & (dice > 0.85)).flatten()
    x[rows] = thicken(x[rows], 3)
    rows = torch.nonzero(rest & (dice > 0.72) & (dice <= 0.85)).flatten()
    x[rows] = 1 - thicken(1 - x[rows], 3)
    return torch.where(kept[:, None, None, None], given, x)


@cache
def _basis(side: int) -> Tensor:
    """Return the basis [side², 3 + 16] of the warps.

    Each pixel has its x, y and 1, and its weights in a smooth interpolation of 4 × 4 random vectors.
    """
    line = (torch.arange(side) * 2 + 1) / side - 1
    y, x = torch.meshgrid(line, line, indexing="ij")
    bumps = F.interpolate(torch.eye(16).view(16, 1, 4, 4), size=(side, side), mode="bicubic", align_corners=True)
    return torch.cat((torch.stack((x, y, torch.ones_like(x))).flatten(1), bumps.flatten(1))).T.contiguous()


def warp(x: Tensor, free: Tensor, flip: Tensor) -> Tensor:
    """Rotate, scale, shear, shift and bend ink [b, 1, h, h].

    Characters (`free` [b]) are changed more; drawings in `flip` [b] are also mirrored.
    """
    amount, side = len(x), x.shape[-1]
    angle = torch.randn(amount) * torch.where(free, 0.15, 0.17)
    scale = torch.exp(_uniform(math.log(0.68), math.log(1.25), amount))
    aspect = torch.exp(torch.randn(amount) * torch.where(free, 0.15, 0.07))
    shear = torch.randn(amount) * torch.where(free, 0.2, 0.05)
    shift = torch.randn(2, amount) * 0.08
    mirror = 1 - 2 * flip.float()
    cos, sin = angle.cos() / scale, angle.sin() / scale
    x_row = torch.stack((cos * mirror * aspect, (shear * cos - sin) * mirror, shift[0]), 1)
    y_row = torch.stack((sin / aspect, cos + shear * sin, shift[1]), 1)
    affine = torch.stack((x_row, y_row), 2)  # [b, 3, 2]
    bend = torch.randn(amount, 16, 2) * (torch.where(free, 0.13, 0.045) * torch.rand(amount))[:, None, None]
    grid = _basis(side) @ torch.cat((affine, bend), 1)
    return F.grid_sample(x, grid.view(amount, side, side, 2), align_corners=False)


def degrade(x: Tensor, free: Tensor) -> Tensor:
    """Blur some of the ink [b, 1, h, w] like a scan of 8 to 16 pixels a side."""
    side = x.shape[-1]
    dice = torch.rand(len(x)) * torch.where(free, 1.0, 2.0)
    for low, (least, most) in {8: (0.0, 0.22), 12: (0.22, 0.3), 16: (0.3, 0.4)}.items():
        rows = torch.nonzero((dice >= least) & (dice < most)).flatten()
        if len(rows):
            small = F.interpolate(x[rows], size=(low, low), mode="area" if side % low == 0 else "bilinear")
            x[rows] = F.interpolate(small, size=(side, side), mode="bilinear")
    return x


def colour(x: Tensor, free: Tensor) -> Tensor:
    """Colour ink [b, 1, h, w] with two random colours, as RGB [b, 3, h, w] in 0..1.

    The colours have clear contrast, and noise is added. Some images are white on black, as handwriting (`free` [b])
    often is in datasets, and some black on white.
    """
    amount = len(x)
    ink, paper = torch.rand(2, amount, 3)
    contrast = (ink - paper) @ torch.tensor(LUMINANCE)
    near = contrast.abs() < 0.25
    up = (contrast[near] > 0).float()[:, None]
    ink[near], paper[near] = ink[near] * 0.4 + up * 0.6, paper[near] * 0.4 + (1 - up) * 0.6
    dice = torch.rand(amount)
    white = dice < torch.where(free, 0.45, 0.12)
    ink[white], paper[white] = 1.0, 0.0
    black = dice > 0.92
    ink[black], paper[black] = 0.0, 1.0
    gain = _uniform(0.8, 1.6, amount, 1, 1, 1)
    picture = torch.lerp(paper[..., None, None], ink[..., None, None], (x * gain).clamp(0, 1))
    noise = torch.randn_like(picture) * (torch.rand(amount, 1, 1, 1) * 0.08)
    return (picture + noise).clamp(0, 1)


def render(mask: Tensor, skeleton: Tensor, thin: Tensor, free: Tensor, flip: Tensor, size: int) -> Tensor:
    """Render uint8 masks and skeletons [b, h, w] as images [b, 3, size, size] in 0..1."""
    x, bone = (part[:, None].float() / 255 for part in (mask, skeleton))
    x = warp(restroke(x, bone, thin, free), free, flip)
    return colour(degrade(F.adaptive_avg_pool2d(x, size), free), free)


class Pictures:
    """All subjects' masks and skeletons in memory, for drawing captioned batches.

    They are uint8 and take 8 KiB per subject.
    """

    def __init__(self, subjects: Sequence[Subject], captions: Captions) -> None:
        masks = np.stack([subject.mask for subject in subjects])
        bones = skeletons(masks)
        width = (masks > 127).sum((1, 2)) / np.maximum((bones > 0).sum((1, 2)), 1)
        self.masks, self.bones = torch.from_numpy(masks), torch.from_numpy(bones)
        self.thin = torch.from_numpy(width < THIN)
        self.free = torch.tensor([subject.kind != "icon" for subject in subjects])
        self.sided = torch.tensor([subject.sided for subject in subjects])
        self.subjects, self.captions = subjects, captions
        kinds = np.array([subject.kind for subject in subjects])
        self.rows = {kind: np.flatnonzero(kinds == kind) for kind in TEMPLATES}
        phrases = [torch.tensor([captions.index[phrase] for phrase in subject.phrases]) for subject in subjects]
        self.phrases = pad_sequence(phrases, batch_first=True, padding_value=-1)

    def batch(self, rng: np.random.Generator, amounts: dict[str, int], size: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw captioned pictures of each kind, as many as `amounts` says.

        Returns:
            Images [b, 3, size, size] in 0..1, compact tokens [b, s], and [b, b]: whether an image (row) has a caption
            (column) that is true of it.
        """
        rows = np.concatenate([rng.choice(self.rows[kind], amount, replace=False) for kind, amount in amounts.items()])
        said, texts = zip(*(self.captions.draw(self.subjects[row], rng) for row in rows), strict=True)
        tokens = pad_sequence([torch.tensor(text) for text in texts], batch_first=True)
        index = torch.from_numpy(rows)
        positive = (self.phrases[index][:, None, :] == torch.tensor(said)[None, :, None]).any(-1)
        flip = ~self.sided[index] & (torch.rand(len(index)) < 0.3)
        images = render(self.masks[index], self.bones[index], self.thin[index], self.free[index], flip, size)
        return images, tokens, positive
