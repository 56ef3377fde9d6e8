"""The frozen CLIP: an open_clip model, run block by block with prompts."""
