"""A network that somebody holds in memory against the one that its files make: evidence names files, so that nothing
may be measured under their name which they are not. Nothing here changes the network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import torch
from torch import Tensor
from transformers import PreTrainedModel

from attn_audit.evidence.errors import UsageError
from attn_audit.evidence.settings import NumberFormat
from attn_audit.judge.probe import TOLERANCE
from attn_audit.measure.probe import context_length, random_ids

_TOKENS = 64  # random ones, for which both must give the same logits
_FORMATS = get_args(NumberFormat)
_LIBRARIES = ("transformers", "accelerate")  # whose hooks collect outputs and move tensors between devices
# Of a configuration: where it came from, and what callers set that no measurement reads.
_WITHOUT_EFFECT = frozenset(
    {
        *("_name_or_path", "name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype"),
        *("use_cache", "output_attentions", "output_hidden_states", "return_dict", "pad_token_id"),
    }
)


def check_usable(network: Any) -> None:
    """Refuse what cannot be measured as it stands, with what to do about it. Raises UsageError."""
    name = type(network).__name__
    if not isinstance(network, PreTrainedModel):
        raise UsageError(f"{name} is not a model of transformers; merge adapters, save the model and load it anew")
    if any(module.training for module in network.modules()):
        raise UsageError(f"model {name} is in training mode; call its eval() first")
    attention = network.config.get_text_config()._attn_implementation
    if attention not in ("sdpa", "eager"):
        raise UsageError(
            f"model {name} computes attention by {attention!r}, which cannot be suppressed; load it with "
            'attn_implementation="sdpa" (or "eager")'
        )
    weights = [weight for weight in network.parameters() if weight.is_floating_point()]
    formats = {str(weight.dtype).removeprefix("torch.") for weight in weights}
    if len(formats) != 1 or not formats <= set(_FORMATS):
        raise UsageError(
            f"model {name} holds weights in {', '.join(sorted(formats))}; all must be in one of {', '.join(_FORMATS)}"
        )
    for path, module in network.named_modules():
        if any(weight.device.type == "meta" for weight in module.parameters(recurse=False)):
            raise UsageError(f"model {name} has weights that are not in memory ({path}); load it without offloading")
        if foreign := next(_interventions(module), None):
            raise UsageError(f"model {name} is changed while it runs ({foreign} at {path or 'the top'}); remove that")


def _interventions(module: Any) -> Iterator[str]:
    """What changes the computation and is no weight: hooks, and a ``forward`` that was put in the place of the class's
    own. Those of the libraries themselves are passed over."""
    for hooks in (module._forward_hooks, module._forward_pre_hooks):
        for hook in hooks.values():
            source = getattr(getattr(hook, "func", hook), "__module__", None) or ""
            if source.partition(".")[0] not in _LIBRARIES:
                yield "a hook"
    if "forward" in vars(module) and not hasattr(module, "_hf_hook"):
        yield "another forward"


def check_same(network: Any, fresh: Any) -> None:
    """``network`` must be what ``fresh``, loaded from the files in float32, becomes in its number format: class,
    configuration, parts, and every weight to the last bit. Raises UsageError saying what differs."""
    _refuse_if(type(network) is not type(fresh), f"they make a {type(fresh).__name__}")
    ours, theirs = (_effective(one.config.to_dict()) for one in (network, fresh))
    if other := sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)):
        raise _differs(f"its configuration differs in {other[0]!r}")
    parts, others = ({name: type(module) for name, module in one.named_modules()} for one in (network, fresh))
    _compare_names(parts, others, "part")
    if other := [name for name, kind in parts.items() if kind is not others[name]]:
        raise _differs(f"its part {other[0]} is a {parts[other[0]].__name__}")
    for held, read in ((_weights(network), _weights(fresh)), (_buffers(network), _buffers(fresh))):
        _compare_names(held, read, "weight")
        for name, tensor in held.items():
            _compare(name, tensor, read[name])
    if network.dtype == torch.float32 and network.device.type == "cpu":
        # What no name shows, such as an attribute that was set by hand.
        apart = (_logits(network) - _logits(fresh)).abs().max().item()
        _refuse_if(not apart <= TOLERANCE, f"its logits differ by {apart:.2g}")


def check_same_tokenizer(tokenizer: Any, read: Any) -> None:
    """The tokenizer must cut and render as the one that the files make. Raises UsageError saying what differs."""
    if not getattr(tokenizer, "is_fast", False):
        raise UsageError("the tokenizer is not a fast one, so tokens cannot be mapped to characters")
    for name in ("chat_template", "bos_token", "eos_token"):
        if getattr(tokenizer, name, None) != getattr(read, name, None):
            raise UsageError(f"the tokenizer in memory is not that of the model's files: its {name} differs")
    if _rules(tokenizer) != _rules(read):
        raise UsageError("the tokenizer in memory is not that of the model's files: it has other tokens or rules")


def _rules(tokenizer: Any) -> dict[str, Any]:
    """How it cuts; padding and truncation are those of its last call."""
    found: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: value for name, value in found.items() if name not in ("padding", "truncation")}


def _effective(config: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _effective(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in _WITHOUT_EFFECT
    }


def _weights(network: Any) -> dict[str, Tensor]:
    """With tied ones under each of their names."""
    return dict(network.named_parameters(remove_duplicate=False))


def _buffers(network: Any) -> dict[str, Tensor]:
    return dict(network.named_buffers(remove_duplicate=False))


def _compare_names(held: dict[str, Any], read: dict[str, Any], what: str) -> None:
    if extra := sorted(held.keys() - read.keys()):
        raise _differs(f"it has a {what} {extra[0]} that they lack")
    if missing := sorted(read.keys() - held.keys()):
        raise _differs(f"it lacks their {what} {missing[0]}")


def _compare(name: str, held: Tensor, read: Tensor) -> None:
    _refuse_if(held.shape != read.shape, f"its {name} has another shape")
    _refuse_if(held.is_floating_point() != read.is_floating_point(), f"its {name} has another format")
    same = torch.equal(held.detach(), read.detach().to(held.dtype).to(held.device))
    _refuse_if(not same, f"its {name} has other values")


def _refuse_if(differs: bool, reason: str) -> None:  # noqa: FBT001 - what was found, not what to do
    if differs:
        raise _differs(reason)


def _differs(reason: str) -> UsageError:
    return UsageError(
        f"the model in memory is not the one in its files: {reason}. Evidence names the files: save what is in memory "
        "to a folder (save_pretrained) and name that one"
    )


def _logits(network: Any) -> Tensor:
    """(tokens, vocabulary)"""
    length = min(_TOKENS, context_length(network.config.get_text_config()) or _TOKENS)
    with torch.inference_mode():
        return network(input_ids=random_ids(network, length, 0), use_cache=False).logits[0]  # type: ignore[no-any-return]
