"""A fitted method as files that other programs run: ONNX, or tensors for plain open_clip."""

from typing import Literal

Format = Literal["onnx", "safetensors"]
