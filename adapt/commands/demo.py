"""Try a fitted method in the browser: drop pictures on a page, see their classes."""

import argparse
import importlib.util
import os
import tempfile
import warnings
from pathlib import Path

from adapt.errors import UserError
from adapt.pipeline import stage
from adapt.runtime import signals

EXTRA = ("gradio", "fastapi", "uvicorn")
# Gradio and huggingface_hub read these variables: no telemetry, no check for newer versions.
PRIVATE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the arguments."""
    demo = commands.add_parser("demo", help="try a fitted method in the browser", description=__doc__)
    demo.add_argument("run_folder", metavar="RUN", help="what adapt tune, Model.save or the pipeline has written")
    demo.add_argument("--port", type=port, default=7860, help="default: 7860; 0 takes a free one")
    demo.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, which only this machine can reach")
    demo.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 … (default: a GPU where there is one)")
    demo.set_defaults(run=run)


def port(text: str) -> int:
    """Parse a port.

    Raises:
        ValueError: for anything else; argparse turns it into a message.
    """
    if not 0 <= int(text) < 2**16:
        raise ValueError
    return int(text)


def run(arguments: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    if missing := [name for name in EXTRA if importlib.util.find_spec(name) is None]:
        raise UserError(f"{missing[0]} is not installed: pip install 'adapt-clip[demo]'")
    from adapt.demo import server

    with server.listen(arguments.host, arguments.port) as listening:
        if not server.is_local(listening):
            warnings.warn(
                f"--host {arguments.host}: anyone who can reach this machine over the network can open the page and "
                "send it pictures",
                stacklevel=2,
            )
        with tempfile.TemporaryDirectory(prefix="adapt-demo-", ignore_cleanup_errors=True) as uploads:
            os.environ.update(PRIVATE, GRADIO_TEMP_DIR=uploads)
            title, application = build(Path(arguments.run_folder).expanduser(), arguments.device)
            stage.log(f"{title}: {server.address(listening)} (Ctrl-C ends it)")
            try:
                server.serve(application, listening)
            except signals.Interrupted as stop:
                stage.log("stopped; the pictures are removed")
                raise SystemExit(stop.code) from None


def build(folder: Path, device: str) -> tuple[str, object]:
    """Return the title of a run's page and the page."""
    from adapt.api import model
    from adapt.demo import provenance
    from adapt.demo.comparison import Comparison
    from adapt.training import run_folder

    fitted = model.load(folder, device=device)
    measured = run_folder.read_metrics(folder, fitted.made_from)
    from adapt.demo import page  # imports Gradio, which reads its environment variables then

    return provenance.title(fitted), page.application(Comparison(fitted), measured)
