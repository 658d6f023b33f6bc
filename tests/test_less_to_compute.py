"""What the sweep leaves out is read by nothing: hidden keys of a block of queries, rows of the last layer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

import families
import tiny
from attn_audit.measure import query_blocks
from attn_audit.measure.last_layer import feed_forward, leaving_out, rows_from
from attn_audit.measure.query_blocks import in_blocks

HEADS, WIDTH = 4, 8


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    with families.one_thread():
        yield


# -- queries in blocks ------------------------------------------------------------------------------------------------


def formula(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    """(rows, queries, heads, width): softmax of the visible scores, written out head by head, in double precision."""
    sharing = HEADS // key.shape[1]
    found = torch.zeros(query.shape, dtype=torch.float64)
    for head in range(HEADS):
        of = head // sharing
        scores = query[:, head].double() @ key[:, of].double().transpose(-1, -2) / math.sqrt(WIDTH)
        weights = scores.masked_fill(~visible[:, 0], -math.inf).softmax(-1)
        found[:, head] = weights @ value[:, of].double()
    return found.transpose(1, 2)


@given(
    queries=st.integers(1, 200),
    reused=st.integers(0, 30),
    shared=st.sampled_from([1, 2, 4]),
    window=st.integers(1, 40),
    form=st.sampled_from(["boolean", "additive"]),
    seed=st.integers(0, 1000),
)
def test_blocks_of_queries_equal_the_formula(
    queries: int, reused: int, shared: int, window: int, form: str, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    keys = reused + queries

    def drawn(heads: int, positions: int) -> Tensor:
        return torch.randn(2, heads, positions, WIDTH, generator=generator)

    query, key, value = drawn(HEADS, queries), drawn(shared, keys), drawn(shared, keys)
    visible = torch.ones(queries, keys, dtype=torch.bool).tril(reused).triu(reused - window + 1).expand(2, 1, -1, -1)
    visible = visible & (torch.rand(2, 1, 1, keys, generator=generator) < 0.7)
    visible = visible | torch.eye(queries, keys, dtype=torch.bool).roll(reused, 1)  # no row is empty
    mask = visible
    if form == "additive":
        mask = torch.zeros(visible.shape).masked_fill(~visible, torch.finfo(torch.float32).min)
    module = SimpleNamespace(num_key_value_groups=HEADS // shared)
    with in_blocks(on("cpu")):
        found, _ = query_blocks._attend(module, query, key, value, mask)
    assert found.shape == (2, queries, HEADS, WIDTH)
    assert (found - formula(query, key, value, visible)).abs().max() < 1e-5


@pytest.mark.parametrize("keys", [150, 170])
def test_a_mask_that_shows_later_keys_is_left_whole(keys: int) -> None:
    """The first query sees the last key, as in a mask that is not causal."""
    visible = torch.ones(1, 1, 150, keys, dtype=torch.bool).tril(keys - 150)
    visible[..., 0, -1] = True
    query, key = torch.randn(1, HEADS, 150, WIDTH), torch.randn(1, HEADS, keys, WIDTH)
    found, _ = query_blocks._attend(SimpleNamespace(), query, key, key, visible)
    assert (found - formula(query, key, key, visible)).abs().max() < 1e-5


def test_attention_with_a_bias_of_positions_is_left_whole() -> None:
    one, bias = torch.randn(1, HEADS, 150, WIDTH), torch.randn(1, HEADS, 150, 150)
    causal = torch.ones(1, 1, 150, 150, dtype=torch.bool).tril()
    library, _ = sdpa_attention_forward(SimpleNamespace(), one, one, one, causal, position_bias=bias)
    found, _ = query_blocks._attend(SimpleNamespace(), one, one, one, causal, position_bias=bias)
    assert torch.equal(found, library)


def test_long_passes_are_cut_and_compute_less(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def watched(module: Any, query: Tensor, key: Tensor, *others: Any, **named: Any) -> Any:
        seen.append((query.shape[2], key.shape[2]))
        return sdpa_attention_forward(module, query, key, *others, **named)

    monkeypatch.setattr(query_blocks, "sdpa_attention_forward", watched)
    one = torch.randn(1, HEADS, 150, WIDTH)
    causal = torch.ones(1, 1, 150, 150, dtype=torch.bool).tril()
    query_blocks._attend(SimpleNamespace(), one, one, one, causal)
    assert seen == [(64, 64), (64, 128), (22, 150)]


def test_elsewhere_than_on_the_processor_nothing_changes() -> None:
    with in_blocks(on("cuda")):
        assert query_blocks.AttentionInterface()["sdpa"] is sdpa_attention_forward


def test_a_choice_of_the_user_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(query_blocks._SHARED_HEADS, "0")
    with in_blocks(on("cpu")):
        pass
    assert query_blocks.os.environ[query_blocks._SHARED_HEADS] == "0"


def on(device: str) -> Any:
    """A network that is nothing but somewhere."""
    return SimpleNamespace(device=torch.device(device))


# -- rows of the last layer -------------------------------------------------------------------------------------------


def test_the_rows_that_are_asked_for_are_unchanged_and_the_others_are_not_computed() -> None:
    network = tiny.network("llama").eval()
    part = feed_forward(network, seed=0)
    assert part is network.model.layers[-1].mlp
    rows: list[int] = []
    network.model.layers[-1].mlp.gate_proj.register_forward_pre_hook(lambda _, args: rows.append(args[0].shape[1]))
    ids = torch.arange(20)[None]
    with torch.inference_mode(), leaving_out(part):
        whole = network(input_ids=ids).logits
        with rows_from(15):
            cut = network(input_ids=ids).logits
        again = network(input_ids=ids).logits
    assert rows == [20, 5, 20]
    assert (cut[:, 15:] - whole[:, 15:]).abs().max() < 1e-5
    assert (cut[:, :15] - whole[:, :15]).abs().max() > 1e-3
    assert torch.equal(again, whole)


def test_nothing_is_left_on_the_network() -> None:
    network = tiny.network("llama").eval()
    part = feed_forward(network, seed=0)
    with pytest.raises(RuntimeError, match="on purpose"), leaving_out(part):
        raise RuntimeError("on purpose")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


class _MixingRows(nn.Module):
    """A feed-forward part in which each row reads those before it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, rows: Tensor) -> Tensor:
        found: Tensor = self.inner(rows.cumsum(1))
        return found


class _Residual(nn.Module):
    """One that adds rows that it has kept from elsewhere."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, rows: Tensor) -> Tensor:
        found: Tensor = self.inner(rows) + torch.zeros(1, 16, rows.shape[-1])
        return found


def test_a_part_that_reads_other_rows_leaves_none_out() -> None:
    network = tiny.network("llama").eval()
    network.model.layers[-1].mlp = _MixingRows(network.model.layers[-1].mlp)
    assert feed_forward(network, seed=0) is None


def test_a_part_that_cannot_take_fewer_rows_leaves_none_out() -> None:
    network = tiny.network("llama").eval()
    network.model.layers[-1].mlp = _Residual(network.model.layers[-1].mlp)
    assert feed_forward(network, seed=0) is None
