"""Tiny seeded models with random weights, written to disk as real Hugging Face folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 320
CHAT_TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
_SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", _SHAPE),
    "qwen3": ("Qwen3Config", _SHAPE),
    "mistral": ("MistralConfig", {**_SHAPE, "sliding_window": 8}),
    "gemma2": ("Gemma2Config", {**_SHAPE, "sliding_window": 8, "query_pre_attn_scalar": 8}),
    "gpt2": ("GPT2Config", {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 512,
                            "bos_token_id": 0, "eos_token_id": 1}),
}  # fmt: skip
RECURRENT: dict[str, tuple[str, dict[str, Any]]] = {
    "mamba": ("MambaConfig", {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8,
                              "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}),
}  # fmt: skip


def config(family: str) -> Any:
    """The configuration of a family, as transformers has it."""
    name, values = {**FAMILIES, **RECURRENT}[family]
    return getattr(transformers, name)(**values)


def network(family: str, seed: int = 0, scale: float = 0.35) -> Any:
    """A model in evaluation mode; weights are spread more widely than usual, so that attention is far from uniform."""
    torch.manual_seed(seed)
    made = transformers.AutoModelForCausalLM.from_config(config(family), dtype=torch.float32)
    for name, parameter in made.named_parameters():
        if parameter.dim() > 1 and "norm" not in name:
            torch.nn.init.normal_(parameter, std=scale)
    return made.eval()


def tokenizer(chat: bool = True) -> Any:
    """A byte-level BPE, so that any text has tokens and characters may be split over several."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|bos|>", "<|end|>", "<|start|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    raw.train_from_iterator(["The loan of the applicant is approved. The income is high."] * 4, trainer)
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<|bos|>", eos_token="<|end|>", additional_special_tokens=["<|start|>"]
    )
    if chat:
        made.chat_template = CHAT_TEMPLATE
    return made


def folder(path: Path, family: str = "llama", *, chat: bool = True, seed: int = 0) -> Path:
    """A model folder on disk: safetensors, configuration, tokenizer."""
    network(family, seed).save_pretrained(path)
    tokenizer(chat).save_pretrained(path)
    return path
