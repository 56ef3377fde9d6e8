"""The model card beside an exported file: contents, accuracy and use."""

import textwrap

from huggingface_hub import EvalResult, ModelCardData

import adapt
from adapt.clip.model_configs import POCKET
from adapt.export.facts import Facts

OPENAI = "openai"
TASK = "image-classification"
NOT_THE_PAPERS = (
    "**This is the pocket preset: a tiny CLIP that only knows icons and characters. No number of it is one of the "
    "paper's, or says anything about those.**"
)
RESIZE = (
    "An image is resized so that its shorter edge has {size} pixels (bicubic), and its centre of {size} × {size} is "
    "cropped, as for CLIP."
)
OF_ONNX = (
    "`model.onnx` maps `pixels`, uint8 [batch, 3, {size}, {size}] in RGB, to `probabilities` [batch, {count}]. The "
    "batch may have any size. The model itself scales and normalises the pixels. {resize} The metadata of the file "
    "give the classes and the model's origin."
)
OF_TENSORS = (
    "`model.safetensors` holds the tensors from the tuning, for open_clip's `{backbone}` with the weights "
    "`{pretrained}`; `model.json` explains each tensor. {resize} open_clip's `preprocess` does that."
)
POCKET_FILES = (
    " Both files named `pocket` come with adapt (`adapt/clip/model_configs/`, `models/`): copy them to this folder."
)
ONNX_USE = """\
import json
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("model.onnx")
facts = session.get_modelmeta().custom_metadata_map
classes, size = json.loads(facts["classes"]), int(facts["image_size"])


def read(path):
    image = Image.open(path).convert("RGB")
    width, height = (int(size * edge / min(image.size)) for edge in image.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(image.crop((left, top, left + size, top + size))).transpose(2, 0, 1)


(probabilities,) = session.run(None, {"pixels": np.stack([read("image.png")])})
for row in probabilities:
    print(classes[row.argmax()], float(row.max()))
"""


def write(facts: Facts, use: str | None = None) -> str:
    """Return the card as Markdown, with YAML front matter.

    Args:
        facts: of the exported model.
        use: the example code for safetensors; None for an ONNX file.
    """
    made = facts.made
    title = f"{made['method']} on {made['dataset']}, seed {made['seed']}"
    parts = [
        f"---\n{head(facts, title, use)}\n---\n\n# {title}",
        fill(introduction(facts)),
        *([fill(NOT_THE_PAPERS)] if made["preset"] == POCKET else []),
        f"## Accuracy\n{fill(accuracy(facts))}",
        f"## Use\n{fill(text(facts, use))}",
        f"```python\n{(use or ONNX_USE).strip()}\n```",
        f"## What it is made from\n{origin(facts)}",
        f"## Classes\n{fill(', '.join(made['classes']))}",
        f"## Licence\n{fill(licence(facts))}",
    ]
    return "\n\n".join(parts) + "\n"


def fill(paragraph: str) -> str:
    """Wrap a paragraph at 100 characters."""
    return textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False)


def head(facts: Facts, title: str, use: str | None) -> str:
    """Return the front matter, which model hubs read."""
    made, metrics = facts.made, facts.metrics
    results = []
    if metrics is not None:
        results = [
            EvalResult(
                task_type=TASK, dataset_type=made["dataset"], dataset_name=made["dataset"],
                dataset_split=metrics["split"], dataset_args={key: metrics[key] for key in ("shots", "seed")},
                metric_type="accuracy", metric_value=metrics["accuracy"],
                metric_name=f"accuracy, {made['preset']} preset",
            )
        ]  # fmt: skip
    openly = made["backbone"] == POCKET or made["pretrained"] == OPENAI
    data = ModelCardData(
        license="mit" if openly else "other",
        license_name=None if openly else "that of the weights, see their publisher",
        library_name="onnx" if use is None else "open_clip",
        pipeline_tag=TASK,
        tags=["clip", "few-shot", "prompt-tuning", made["method"], f"{made['preset']}-preset"],
        model_name=title if results else None,
        eval_results=results or None,
    )
    return data.to_yaml().strip()


def introduction(facts: Facts) -> str:
    """Describe the model in a sentence."""
    made, shots = facts.made, (facts.metrics or {}).get("shots")
    images = f" on {shots} images per class" if shots else ""
    return (
        f"A classifier of {len(made['classes'])} classes: the CLIP `{made['backbone']}`, tuned by the method "
        f"`{made['method']}` on `{made['dataset']}`{images} with adapt {adapt.__version__}."
    )


def accuracy(facts: Facts) -> str:
    """Report the accuracy in metrics.json, or that none is known."""
    metrics = facts.metrics
    if metrics is None:
        return "No accuracy is known: the run was not evaluated."
    told = f"{100 * metrics['accuracy']:.2f} % of {metrics['images']} images of the split `{metrics['split']}`"
    zero_shot = metrics.get("zero_shot")
    beside = "" if zero_shot is None else f"; zero-shot CLIP: {100 * zero_shot:.2f} %"
    return f"{told}{beside} ({metrics['preset']} preset, {metrics['shots']} shots, seed {metrics['seed']})."


def text(facts: Facts, use: str | None) -> str:
    """Describe the file, and the images that it takes."""
    made, size = facts.made, facts.image_size
    known = {"size": size, "count": len(made["classes"]), "resize": RESIZE.format(size=size)}
    if use is None:
        return OF_ONNX.format(**known)
    told = OF_TENSORS.format(backbone=made["backbone"], pretrained=facts.pretrained, **known)
    return told + (POCKET_FILES if made["backbone"] == POCKET else "")


def origin(facts: Facts) -> str:
    """Return the facts as a table."""
    made = facts.made
    rows = {
        "preset": made["preset"],
        "backbone": made["backbone"],
        "weights": f"`{facts.pretrained}`, sha256 over all tensors `{made['weights']}`",
        "precision": f"{made['precision']} while tuning, float32 here",
        "dataset": made["dataset"],
        "template": f"`{made['template']}`",
        **{f"learned tokens by {branch} layer": " ".join(map(str, counts)) for branch, counts in facts.lengths.items()},
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {cell(value)} |" for name, value in rows.items())])


def cell(value: str) -> str:
    """Escape a text for a cell of a table."""
    return value.replace("|", "\\|")


def licence(facts: Facts) -> str:
    """Name the licence of CLIP's weights."""
    made = facts.made
    if made["backbone"] == POCKET:
        return "The weights of the pocket CLIP: MIT, as adapt itself. Its model card lists what it was trained on."
    if made["pretrained"] == OPENAI:
        return "The weights of OpenAI's CLIP: MIT. The images it was tuned on have a licence of their own."
    return f"The weights `{facts.pretrained}` of {made['backbone']}: see their publisher."
