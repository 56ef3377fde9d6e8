"""The page of `adapt demo`: a fitted method and zero-shot CLIP classify a picture."""
