"""GGUF files read once, and quickly, instead of once for each question: the library parses the file anew for the
tokenizer, the configuration and the weights, and builds its table of tensor names for every layer.

Within the context both are kept, the garbage collector rests (the parser makes millions of small objects), and no
progress bar is drawn. Nothing of it outlives the context, and what is loaded is the same to the bit.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import gguf
import numpy as np
from transformers import modeling_gguf_pytorch_utils as library


@contextmanager
def read_once() -> Iterator[None]:
    """Keep what the library would compute again."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        with (
            patch.object(gguf, "GGUFReader", functools.cache(_PlainReader)),
            patch.object(gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map)),
            patch.object(library, "tqdm", _silent),
        ):
            yield
    finally:
        if collecting:
            gc.enable()


class _PlainReader(gguf.GGUFReader):
    """The reader over a plain array on the mapped file: slicing ``numpy.memmap`` itself costs most of the parsing."""

    @property
    def data(self) -> Any:
        return self._data

    @data.setter
    def data(self, mapped: Any) -> None:
        self._data = np.asarray(mapped)


def _silent(items: Any, **_: Any) -> Any:
    """In place of a progress bar."""
    return items
