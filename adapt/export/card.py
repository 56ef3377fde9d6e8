"""The model card beside an exported file: what it is, how good it is, how it is used."""

import textwrap

from huggingface_hub import EvalResult, ModelCardData

from adapt.export.facts import POCKET, Facts

OPENAI = "openai"
TASK = "image-classification"
NOT_THE_PAPERS = (
    "**This is the pocket preset: a tiny CLIP that knows icons and characters alone. No number of it is one of the "
    "paper's, nor says anything about them.**"
)
RESIZE = (
    "An image is resized so that its shorter edge has {size} pixels (bicubic), and its middle of {size} × {size} is "
    "cut out, as CLIP's images are."
)
OF_ONNX = (
    "`model.onnx` maps `pixels`, uint8 [batch, 3, {size}, {size}] in RGB, to `probabilities` [batch, {count}]. The "
    "batch may have any size. Scaling and normalisation of the pixels are inside. {resize} The metadata of the file "
    "name the classes and say where it comes from."
)
OF_TENSORS = (
    "`model.safetensors` holds what the tuning has made, for open_clip's `{backbone}` with the weights `{pretrained}`; "
    "`model.json` says what each tensor is. {resize} open_clip's `preprocess` does that."
)
POCKET_FILES = (
    " Both files that are named `pocket` come with adapt (`adapt/clip/model_configs/`, `models/`): lay them beside."
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
    """The card as Markdown under a head of YAML.

    use: the lines that use the tensors, where it is of safetensors; None: of ONNX
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
    """A paragraph in lines of 100 characters."""
    return textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False)


def head(facts: Facts, title: str, use: str | None) -> str:
    """The YAML that hubs read."""
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
    """What it is, in a sentence."""
    made, shots = facts.made, (facts.metrics or {}).get("shots")
    images = f" on {shots} images per class" if shots else ""
    return (
        f"A classifier of {len(made['classes'])} classes: the CLIP `{made['backbone']}`, tuned by the method "
        f"`{made['method']}` on `{made['dataset']}`{images} with adapt {facts.version}."
    )


def accuracy(facts: Facts) -> str:
    """What metrics.json says, or that nothing is known."""
    metrics = facts.metrics
    if metrics is None:
        return "No accuracy is known: the run was not evaluated."
    told = f"{100 * metrics['accuracy']:.2f} % of {metrics['images']} images of the split `{metrics['split']}`"
    zero_shot = metrics.get("zero_shot")
    beside = "" if zero_shot is None else f"; zero-shot CLIP: {100 * zero_shot:.2f} %"
    return f"{told}{beside} ({metrics['preset']} preset, {metrics['shots']} shots, seed {metrics['seed']})."


def text(facts: Facts, use: str | None) -> str:
    """What the file is, and how images have to look."""
    made, size = facts.made, facts.image_size
    known = {"size": size, "count": len(made["classes"]), "resize": RESIZE.format(size=size)}
    if use is None:
        return OF_ONNX.format(**known)
    told = OF_TENSORS.format(backbone=made["backbone"], pretrained=facts.pretrained, **known)
    return told + (POCKET_FILES if made["backbone"] == POCKET else "")


def origin(facts: Facts) -> str:
    """The facts as a table."""
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
    """Text as a cell of a table holds it."""
    return value.replace("|", "\\|")


def licence(facts: Facts) -> str:
    """That of CLIP's weights."""
    made = facts.made
    if made["backbone"] == POCKET:
        return "The weights of the pocket CLIP: MIT, as adapt itself. Its model card lists what it was trained on."
    if made["pretrained"] == OPENAI:
        return "The weights of OpenAI's CLIP: MIT. The images it was tuned on have a licence of their own."
    return f"The weights `{facts.pretrained}` of {made['backbone']}: see their publisher."
