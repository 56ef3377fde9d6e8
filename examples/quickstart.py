"""Tune, evaluate and save: the lines of the README.

    python examples/quickstart.py

It takes about twenty seconds on a CPU and downloads nothing.
"""

import adapt

clip = adapt.load_clip("pocket")  # or ("ViT-B-16-quickgelu", "openai"), or a file of weights
data = adapt.load_dataset("digits").few_shot(shots=16, seed=1)  # or a folder per class, or a CSV
model = adapt.fit("adapt", clip, data)
print(adapt.evaluate(model, data.test))  # 0.937, of the pocket preset
print(model.lengths())  # {'text': [0, 2, 3, 1, 1, 2], 'image': [1, 2, 1, 2, 2, 1]}
print(model.predict([data.test.image(0)]))  # ['zero']
model.save("run")
