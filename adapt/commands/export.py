"""Write a tuned model in a form that other programs can run."""

import argparse
from pathlib import Path

import adapt
from adapt.api.checks import free
from adapt.pipeline import stage


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the arguments."""
    command = commands.add_parser(
        "export",
        help="write a tuned model as ONNX, or as tensors for open_clip",
        description=f"""{__doc__} It checks the file against the model on real images, and writes a model card
            beside it.""",
    )
    command.add_argument("run_folder", metavar="RUN", help="what adapt tune, Model.save or the pipeline has written")
    command.add_argument(
        "-o", "--output", metavar="FOLDER", required=True, help="a new folder for the file and its card"
    )
    command.add_argument(
        "--format", choices=("onnx", "safetensors"), default="onnx",
        help="onnx: from pixels to probabilities (default); safetensors: class embeddings, keys and values",
    )  # fmt: skip
    command.add_argument("--force", action="store_true", help="replace the exported model in FOLDER")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Export the model, and log which files were written."""
    output = Path(arguments.output).expanduser()
    from adapt.export.folder import is_export
    from adapt.training import run_folder

    free(output, "--output", "exported model", is_export(output), arguments.force, "pass --force")
    model = adapt.load(arguments.run_folder, device="cpu")
    known = run_folder.read_metrics(Path(arguments.run_folder).expanduser(), model.made_from)
    difference = model.export(output, arguments.format, overwrite=arguments.force, metrics=known)
    for path in sorted(output.iterdir()):
        stage.log(f"{path}  {size(path.stat().st_size)}")
    stage.log(f"checked on real images: probabilities differ from the model's by {difference:.1e} at most")


def size(count: int) -> str:
    """Format a number of bytes."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
