"""The page of `adapt demo`: a picture goes in, a fitted method and zero-shot CLIP say what it shows."""
