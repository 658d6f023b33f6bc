"""Tiny seeded models with random weights, one of each family, written to disk as real Hugging Face folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 320
CONTEXT = 512
WINDOW = 8  # tokens; far less than the prompts of the tests, so that windows and chunks matter
CHAT_TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


class Family(NamedTuple):
    """A kind of model: its configuration class, the values of a tiny one, and what to say of it in docs/models.md."""

    config: str
    values: dict[str, Any]
    title: str
    attention: str


_IDS: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
_MODERN: dict[str, Any] = {
    **_IDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": CONTEXT,
}
_EARLY: dict[str, Any] = {**_IDS, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": CONTEXT}
_WINDOWED: dict[str, Any] = {**_MODERN, "sliding_window": WINDOW}
_MIXED: dict[str, Any] = {**_WINDOWED, "layer_types": ["sliding_attention", "full_attention", "full_attention"]}
_DEFAULT_ROTARY = {"rope_type": "default", "rope_theta": 10_000.0}
_LATENT: dict[str, Any] = {
    **{key: value for key, value in _MODERN.items() if key not in ("head_dim", "num_key_value_heads")},
    "num_key_value_heads": 4,
    "moe_intermediate_size": 24,
    "n_routed_experts": 4,
    "n_group": 2,
    "topk_group": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
}

_GEMMA3: dict[str, Any] = {**_MIXED, "query_pre_attn_scalar": 8}
_GEMMA4: dict[str, Any] = {
    **_WINDOWED,
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": VOCABULARY,
    "global_head_dim": 16,
    "num_kv_shared_layers": 2,
}
_LLAMA4: dict[str, Any] = {
    **_MODERN,
    "intermediate_size_mlp": 48,
    "num_local_experts": 4,
    "interleave_moe_layer_step": 2,
    "attention_chunk_size": WINDOW,
    "no_rope_layers": [1, 0, 1],
    "floor_scale": 16,
}
_EYE: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}

FAMILIES: dict[str, Family] = {
    "llama": Family("LlamaConfig", _MODERN, "Llama", "grouped heads"),
    "smollm3": Family(
        "SmolLM3Config", {**_MODERN, "no_rope_layer_interval": 2}, "SmolLM3", "layers without positions (NoPE)"
    ),
    "mistral": Family("MistralConfig", _WINDOWED, "Mistral", "sliding window in every layer"),
    "qwen2": Family(
        "Qwen2Config", {**_WINDOWED, "use_sliding_window": True, "max_window_layers": 1}, "Qwen 2 and 2.5",
        "biases; sliding window in the upper layers",
    ),
    "qwen3": Family("Qwen3Config", _MODERN, "Qwen 3", "normalised queries and keys"),
    "gemma2": Family(
        "Gemma2Config", {**_MIXED, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 2.0}, "Gemma 2",
        "soft-capped scores; sliding and full layers",
    ),
    "gemma3": Family("Gemma3TextConfig", _GEMMA3, "Gemma 3 (text)",
                     "normalised queries and keys; sliding and full layers"),
    "gemma3_vision": Family(
        "Gemma3Config",
        {"text_config": _GEMMA3, "vision_config": {**_EYE, "image_size": 28, "patch_size": 14},
         "mm_tokens_per_image": 4, "boi_token_index": 300, "eoi_token_index": 301, "image_token_index": 302},
        "Gemma 3 (text and images), given text", "as the text model; images would see each other",
    ),
    "gemma4": Family("Gemma4TextConfig", _GEMMA4, "Gemma 4 (text)",
                     "sliding and full layers of different width; upper layers share keys and values"),
    "gemma4_vision": Family(
        "Gemma4Config",
        {"text_config": _GEMMA4, "vision_config": {**_EYE, "num_key_value_heads": 2, "head_dim": 8},
         "image_token_id": 302, "video_token_id": 303, "audio_token_id": 304, "boi_token_id": 305, "eoi_token_id": 306},
        "Gemma 4 (text and images), given text", "as the text model",
    ),
    "gpt2": Family("GPT2Config", _EARLY, "GPT-2", "learned positions"),
    "gpt_neox": Family(
        "GPTNeoXConfig", {key: _MODERN[key] for key in _MODERN if key not in ("head_dim", "num_key_value_heads")},
        "GPT-NeoX, Pythia", "parallel residual; partial rotation",
    ),
    "opt": Family(
        "OPTConfig",
        {**_IDS, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
         "word_embed_proj_dim": 32, "max_position_embeddings": CONTEXT},
        "OPT", "learned positions with an offset",
    ),
    "phi": Family(
        "PhiConfig", {**_MODERN, "qk_layernorm": True}, "Phi", "partial rotation; normalised queries and keys"
    ),
    "phi3": Family("Phi3Config", _WINDOWED, "Phi-3 and 4", "fused projections; sliding window in every layer"),
    "olmo2": Family("Olmo2Config", _MODERN, "OLMo 2", "normalisation after attention; normalised queries and keys"),
    "stablelm": Family(
        "StableLmConfig", {**_MODERN, "qk_layernorm": True, "use_qkv_bias": True}, "StableLM",
        "partial rotation; queries and keys normalised by head",
    ),
    "starcoder2": Family("Starcoder2Config", _WINDOWED, "StarCoder2", "biases; sliding window in every layer"),
    "granite": Family("GraniteConfig", {**_MODERN, "attention_multiplier": 0.3}, "Granite", "its own scale of scores"),
    "cohere2": Family("Cohere2Config", {**_MIXED, "logit_scale": 0.5}, "Cohere 2, Command R7B",
                      "parallel residual; sliding layers rotate, full ones do not"),
    "exaone4": Family("Exaone4Config", _MIXED, "EXAONE 4", "sliding layers rotate, full ones do not"),
    "deepseek_v3": Family("DeepseekV3Config", {**_LATENT, "num_mtp_layers": 0}, "DeepSeek-V3 and R1",
                          "latent keys and values; experts"),
    "llama4": Family("Llama4TextConfig", _LLAMA4, "Llama 4 (text)",
                     "chunked layers rotate, full ones do not and scale with position; experts"),
    "gpt_oss": Family(
        "GptOssConfig", {**_WINDOWED, "num_local_experts": 4, "num_experts_per_tok": 2,
                         "rope_parameters": _DEFAULT_ROTARY},
        "gpt-oss", "learned sinks; sliding and full layers; experts",
    ),
    "mixtral": Family("MixtralConfig", {**_WINDOWED, "num_local_experts": 4}, "Mixtral", "sliding window; experts"),
    "qwen3_moe": Family(
        "Qwen3MoeConfig", {**_MODERN, "moe_intermediate_size": 24, "num_experts": 4, "num_experts_per_tok": 2},
        "Qwen 3 MoE", "normalised queries and keys; experts",
    ),
    "bloom": Family("BloomConfig", {**_IDS, "hidden_size": 32, "n_layer": 3, "n_head": 4}, "BLOOM", "ALiBi"),
    "mpt": Family(
        "MptConfig", {**_IDS, "d_model": 32, "n_heads": 4, "n_layers": 3, "max_seq_len": CONTEXT}, "MPT", "ALiBi"
    ),
    "falcon": Family(
        "FalconConfig",
        {**_IDS, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
         "max_position_embeddings": CONTEXT},
        "Falcon", "one key and value head; parallel residual",
    ),
    "falcon_alibi": Family(
        "FalconConfig",
        {**_IDS, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "alibi": True,
         "multi_query": False, "parallel_attn": False, "bias": True, "max_position_embeddings": CONTEXT},
        "Falcon with ALiBi (RefinedWeb)", "ALiBi folded into the mask",
    ),
    "gptj": Family("GPTJConfig", {**_EARLY, "rotary_dim": 4}, "GPT-J", "interleaved partial rotation"),
    "gpt_neo": Family(
        "GPTNeoConfig",
        {**_IDS, "hidden_size": 32, "num_layers": 4, "num_heads": 4, "attention_types": [[["global", "local"], 2]],
         "window_size": WINDOW, "max_position_embeddings": CONTEXT},
        "GPT-Neo", "unscaled scores; local and global layers, the window inside the attention",
    ),
}  # fmt: skip

# Refused by the probe: something other than attention carries a token to later ones.
RECURRENT: dict[str, Family] = {
    "mamba": Family("MambaConfig", {**_IDS, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}, "Mamba",
                    "state space only"),
    "mamba2": Family(
        "Mamba2Config",
        {**_IDS, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "num_heads": 8, "head_dim": 8,
         "n_groups": 2, "chunk_size": 8},
        "Mamba 2", "state space only",
    ),
    "rwkv": Family("RwkvConfig", {**_IDS, "hidden_size": 32, "num_hidden_layers": 2, "context_length": CONTEXT}, "RWKV",
                   "recurrence only"),
    "jamba": Family(
        "JambaConfig",
        {**_MODERN, "attn_layer_period": 2, "attn_layer_offset": 1, "num_experts": 2, "mamba_d_state": 8,
         "mamba_dt_rank": 4, "use_mamba_kernels": False},
        "Jamba", "state space and attention layers",
    ),
    "falcon_h1": Family(
        "FalconH1Config",
        {**_MODERN, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8,
         "mamba_chunk_size": 8},
        "Falcon-H1", "state space beside attention in every layer",
    ),
    "qwen3_next": Family(
        "Qwen3NextConfig",
        {**_MODERN, "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2,
         "linear_num_value_heads": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
         "shared_expert_intermediate_size": 24,
         "layer_types": ["linear_attention", "linear_attention", "full_attention"]},
        "Qwen3-Next", "gated delta layers and attention layers",
    ),
    "lfm2": Family(
        "Lfm2Config", {**_MODERN, "layer_types": ["conv", "full_attention", "conv"]}, "LFM2",
        "convolutions and attention layers",
    ),
    "recurrent_gemma": Family(
        "RecurrentGemmaConfig",
        {**{key: value for key, value in _MODERN.items() if key != "head_dim"}, "attention_window_size": WINDOW,
         "lru_width": 32},
        "RecurrentGemma, Griffin", "linear recurrences and windowed attention",
    ),
}  # fmt: skip

# Refused for other reasons.
UNSUITED: dict[str, Family] = {
    "t5": Family(
        "T5Config", {**_IDS, "d_model": 32, "d_ff": 48, "num_layers": 2, "num_heads": 4, "d_kv": 8,
                     "decoder_start_token_id": 1},
        "T5", "encoder and decoder",
    ),
    "deepseek_v32": Family(
        "DeepseekV32Config", {**_LATENT, "index_topk": 8, "index_head_dim": 8, "index_n_heads": 2}, "DeepSeek-V3.2",
        "an indexer selects the tokens that are read",
    ),
}  # fmt: skip
_ALL = {**FAMILIES, **RECURRENT, **UNSUITED}


def config(family: str) -> Any:
    """The configuration of a family, as transformers has it."""
    return getattr(transformers, _ALL[family].config)(**_ALL[family].values)


def network(family: str, seed: int = 0, scale: float = 0.35) -> Any:
    """A model in evaluation mode; weights are spread more widely than usual, so that attention is far from uniform."""
    torch.manual_seed(seed)
    made = config(family)
    library = transformers.AutoModelForSeq2SeqLM if made.is_encoder_decoder else transformers.AutoModelForCausalLM
    made = library.from_config(made, dtype=torch.float32)
    for name, parameter in made.named_parameters():
        if "norm" not in name and (parameter.dim() > 1 or name.endswith(("bias", "sinks"))):
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
