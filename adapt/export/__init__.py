"""A fitted method as files for other programs: ONNX, or tensors for open_clip."""

from typing import Literal

Format = Literal["onnx", "safetensors"]
