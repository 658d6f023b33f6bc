"""What the files of a model folder say of others, read before any library follows it: no foreign code, and no file that
is not hashed with the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attn_audit.evidence.errors import UsageError

_MOST_JSON = 64 << 20  # bytes
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_ADAPTER = "adapter_config.json"
_NAMES_FILES = ("transformers_weights", "configuration_files", "fast_tokenizer_files")  # keys that the library follows


def check_folder(folder: Path, names: frozenset[str]) -> None:
    """Refuse what would run foreign code, is no model, or takes weights from elsewhere. Raises UsageError."""
    if "config.json" not in names:
        raise UsageError(f"model folder {folder} has no config.json; give a folder in the Hugging Face layout")
    for name in sorted(names & {"config.json", "tokenizer_config.json"}):
        _check_configuration(folder, name, names)
    if _ADAPTER in names:
        raise UsageError(
            f"model folder {folder} has an adapter ({_ADAPTER}), which is applied on some machines and passed over on "
            "others; merge it into the weights and remove its files"
        )
    if not any(name.endswith(".safetensors") for name in names):
        pickles = sorted(name for name in names if name.endswith(_PICKLES))
        if pickles:
            raise UsageError(
                f"model folder {folder} has its weights as pickle only ({pickles[0]}), which can run code when it is "
                "read; convert them to safetensors"
            )
        raise UsageError(f"model folder {folder} has no weights (*.safetensors)")
    for index in sorted(name for name in names if name.endswith(".safetensors.index.json")):
        _check_index(folder / index, names)


def _check_configuration(folder: Path, name: str, names: frozenset[str]) -> None:
    """Refuse a configuration that asks for foreign code, or for files that are not hashed with the folder."""
    said = _json(folder / name)
    if "auto_map" in said:
        raise UsageError(
            f"model folder {folder} asks to run its own code ('auto_map' in {name}); such models are not audited"
        )
    for key in _NAMES_FILES:
        files = said.get(key) or []
        for file in files if isinstance(files, list) else [files]:
            if str(file) not in names:
                raise UsageError(
                    f"model file {folder / name} takes a file from {file!r:.200} ('{key}'), which is not in the "
                    "model's folder"
                )


def _check_index(index: Path, names: frozenset[str]) -> None:
    """An index may name only files that are hashed with the folder; the library would follow it anywhere."""
    shards = _json(index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise UsageError(f"model file {index} has no list of weights ('weight_map')")
    if foreign := sorted(set(shards.values()) - names):
        raise UsageError(
            f"model file {index} takes weights from {foreign[0]!r:.200}, which is not in the model's folder"
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_JSON:
            raise UsageError(f"model file {path} is larger than {_MOST_JSON >> 20} MiB")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"model file {path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"model file {path} is not a JSON object")
    return value
