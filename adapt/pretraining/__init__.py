"""Pre-training of the pocket CLIP: captions, augmentation, training, scores."""
