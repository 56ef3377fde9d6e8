"""CSV, JSON and tensor files.

Numbers are read back bit-equal, and files that do not belong are refused.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from adapt.errors import UserError
from adapt.runtime.files import atomic_write


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows under a header.

    Numbers are written as Python prints them, so that they are read back bit-equal.
    """
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path, made_by: str) -> list[dict[str, str]]:
    """Return all rows of a CSV file.

    made_by: the command that makes the file, for the message when it is missing or broken
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, strict=True))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; make it with `{made_by}`") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a readable CSV file ({error}); make it again with `{made_by}`") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON for people and for `dvc metrics`."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, made_by: str) -> Any:
    """Return the content of a JSON file; errors are those of `read_csv`."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; make it with `{made_by}`") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}); make it again with `{made_by}`") from None


def write_tensors(path: Path, tensors: Mapping[str, Any], made_from: Mapping[str, Any]) -> None:
    """Write tensors as safetensors, with `made_from` in the file's metadata.

    made_from: backbone, weights, params …; stored as one JSON entry, since safetensors writes several entries in no
        fixed order, and the same content should give the same bytes

    Python writes the file, since safetensors does not raise OSError on a full disk.
    """
    from safetensors.torch import save

    with atomic_write(path) as temporary:
        temporary.write_bytes(save(dict(tensors), metadata={"made_from": json.dumps(made_from)}))


def read_tensors(path: Path, made_by: str, **expected: str) -> dict[str, Any]:
    """Return the tensors of a file.

    expected: metadata that the file must have, such as weights=…

    Raises: UserError for a file that is missing, broken or made from something else.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            made_from = made_of(file)
            for key, value in expected.items():
                if made_from.get(key) != value:
                    raise UserError(
                        f"{path} was made with {key} {shorten(str(made_from.get(key, 'unknown')))}, but the params say "
                        f"{shorten(value)}; make it again with `{made_by}`"
                    )
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; make it with `{made_by}`") from None
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}); make it again with `{made_by}`") from None


def read_made_from(path: Path) -> dict[str, Any]:
    """Return what a file of tensors was made from.

    `read_tensors` has checked the file before.
    """
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return made_of(file)


def made_of(file: Any) -> dict[str, Any]:
    """Return the entry `made_from` of the metadata.

    It is empty if another program wrote the file.
    """
    try:
        found = json.loads((file.metadata() or {}).get("made_from", "{}"))
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def shorten(value: str) -> str:
    """Return a name unchanged, and a hash by its first digits."""
    return value[:12] if len(value) == 64 else value


def fingerprint(*parts: Any) -> str:
    """Return a hash of exactly these inputs.

    Settings are hashed as JSON, and files (given as paths) by their bytes. A missing file counts as an empty one: the
    code that reads it will report it.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            content = part.read_bytes() if part.is_file() else b""
        else:
            content = json.dumps(part, sort_keys=True).encode()
        digest.update(len(content).to_bytes(8) + content)
    return digest.hexdigest()
