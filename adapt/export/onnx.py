"""A fitted method as an ONNX file from pixels to probabilities."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from adapt.clip.weights import brief
from adapt.errors import UserError
from adapt.export.check import Run
from adapt.export.facts import Facts
from adapt.export.folded import Folded

FILE = "model.onnx"
INPUT, OUTPUT = "pixels", "probabilities"
LARGEST = 2_000_000_000  # bytes; a protobuf cannot exceed 2 GiB, so larger weights go into a file beside it
EXAMPLE = 2  # batch size for tracing; a size of 1 would be taken as fixed


def write(folder: Path, folded: Folded, facts: Facts) -> Run:
    """Write the file with its metadata, and return a function that runs it.

    Raises:
        UserError: for a tower that torch cannot export.
    """
    import onnx
    import onnxruntime

    model = trace(folded, facts.image_size)
    strip(model)
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.plain().items()}
    onnx.helper.set_model_props(model, texts)
    large = sum(len(constant.raw_data) for constant in model.graph.initializer) > LARGEST
    onnx.save_model(model, folder / FILE, save_as_external_data=large, location=f"{FILE}.data")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(folder / FILE, options, providers=["CPUExecutionProvider"])

    def run(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        (found,) = session.run([OUTPUT], {INPUT: pixels})
        return np.asarray(found)

    return run


def trace(folded: Folded, size: int) -> Any:
    """Return the graph as a protobuf."""
    example = torch.zeros(EXAMPLE, 3, size, size, dtype=torch.uint8)
    batch = {0: torch.export.Dim("batch")}
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                folded, (example,), dynamo=True, dynamic_shapes=(batch,), input_names=[INPUT], output_names=[OUTPUT],
                verbose=False,
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        why = brief(error.__cause__ if isinstance(error.__cause__, Exception) else error)
        raise UserError(f"export: torch {torch.__version__} cannot write this model as ONNX ({why})") from None
    assert program is not None
    return program.model_proto


def strip(model: Any) -> None:
    """Remove the paths of the exporter's code on this machine from the graph."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the exporter's warnings and output."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
