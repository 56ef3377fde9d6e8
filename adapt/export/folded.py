"""A fitted method as one module from pixels to probabilities."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from adapt.clip.encoders import NO_INJECTION
from adapt.export.heads import head_of
from adapt.export.image_tower import ImageTower
from adapt.methods._base import Method
from adapt.methods._two_tower import TwoTower


class Folded(nn.Module):
    """A method's image tower and head; all that does not depend on images is constant.

    Raises:
        UserError: for a method that cannot be folded, with the reason.
    """

    def __init__(self, method: Method):
        super().__init__()
        with torch.no_grad():
            self.head = head_of(method)
            injection = method.injection("image") if isinstance(method, TwoTower) else NO_INJECTION
            self.tower = ImageTower(method.task.backbone, injection)
        self.requires_grad_(False).eval()

    def forward(self, pixels: UInt8[Tensor, "b 3 y x"]) -> Float[Tensor, "b c"]:
        """Return the class probabilities of images that are resized and cropped."""
        return self.head(self.tower(pixels)).softmax(dim=-1)
