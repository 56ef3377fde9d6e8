"""How the pocket CLIP is made: captions, augmentation, contrastive training, scores."""
