"""Export a tuned model and run it in plain open_clip, without this package.

    python examples/use_with_open_clip.py

It tunes the pocket CLIP on `digits`, exports class embeddings, keys and values to the folder `exported`, and classifies
images with open_clip alone. exported/README.md has these lines for the model at hand. It takes about half a minute.
"""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import load_file

import adapt

clip = adapt.load_clip("pocket")
data = adapt.load_dataset("digits").few_shot(shots=16, seed=1)
tuned = adapt.fit("adapt", clip, data)
tuned.export("exported", "safetensors")
images = [data.test.image(number) for number in range(0, 500, 50)]

# --- from here on without adapt, but for where the pocket CLIP is, which open_clip does not know --------------------

package = Path(adapt.__file__).parent
open_clip.add_model_config(package / "clip/model_configs/pocket.json")
weights = next(path for path in (package / "models", package.parent / "models") if path.exists()) / "pocket.safetensors"
created: Any = open_clip.create_model_and_transforms("pocket", pretrained=str(weights))
model, _, preprocess = created
model.eval()
tensors = load_file("exported/model.safetensors")
for layer, block in enumerate(model.visual.transformer.resblocks):
    if f"key.{layer}" in tensors:  # further keys and values, which torch appends to a block's own
        block.attn.bias_k = torch.nn.Parameter(tensors[f"key.{layer}"])
        block.attn.bias_v = torch.nn.Parameter(tensors[f"value.{layer}"])
with torch.no_grad():
    features = model.encode_image(torch.stack([preprocess(image) for image in images]), normalize=True)
    logits = tensors["logit_scale"] * features @ tensors["class_embeddings"].T
classes = json.loads(Path("exported/model.json").read_text(encoding="utf-8"))["classes"]
print([classes[label] for label in logits.argmax(dim=1)])
print("largest difference from adapt:", (logits - tuned.logits(images)).abs().max().item())
