"""Tune CLIP on your own images and classify others.

    python examples/own_images.py FOLDER [IMAGE ...] [--pocket]

FOLDER has a folder of images for each class. The program compares zero-shot CLIP with two methods on images that were
held out, and prints what the better one sees in the other images. ViT-B/16 needs a GPU and a download of its weights;
--pocket takes the small CLIP that comes with the package, which knows icons and characters only.
"""

import argparse

import adapt

parser = argparse.ArgumentParser(description="Tune CLIP on your own images and classify others.")
parser.add_argument("folder")
parser.add_argument("images", nargs="*")
parser.add_argument("--pocket", action="store_true")
arguments = parser.parse_args()

clip = adapt.load_clip("pocket") if arguments.pocket else adapt.load_clip("ViT-B-16-quickgelu", "openai")
data = adapt.load_dataset(arguments.folder).few_shot(shots=16, seed=1)
features = adapt.teacher_features(clip, data)  # of the frozen model, once for all methods

accuracies, models = {}, {}
for method in ("zero_shot", "linear_probe", "adapt"):
    models[method] = adapt.fit(method, clip, data, features=features)
    accuracies[method] = adapt.evaluate(models[method], data.test)
    print(f"{method:13} {100 * accuracies[method]:5.1f} % of {len(data.test)} images held out")

best = models[max(accuracies, key=accuracies.__getitem__)]
for image in arguments.images:
    [probabilities] = best.predict_proba([image])
    guess = probabilities.argmax()
    print(f"{image}: {best.classes[guess]} ({100 * probabilities[guess]:.0f} %)")
