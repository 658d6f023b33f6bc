"""Small PNG pictures, right and wrong, made by hand."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

from hypothesis import strategies as st


def part(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def picture(
    width: int = 2,
    height: int = 1,
    rows: bytes = b"\x00\x0b\x4f\x9e\xff\xff\xff",
    *,
    kind: int = 2,
    depth: int = 8,
    interlaced: int = 0,
    before: Sequence[tuple[bytes, bytes]] = (),
    after: Sequence[tuple[bytes, bytes]] = (),
    packed: bytes | None = None,
) -> bytes:
    """A PNG of these rows, each behind the number of its filter, with further parts before and after them."""
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    points = zlib.compress(rows) if packed is None else packed
    parts = ((b"IHDR", head), *before, (b"IDAT", points), *after, (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(part(*one) for one in parts)


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """A PNG of any kind that a logo may be, with any points and filters."""
    kind = draw(st.sampled_from((0, 2, 3, 4, 6)))
    depth = draw(st.sampled_from((1, 2, 4, 8))) if kind in {0, 3} else 8
    width = draw(st.integers(1, 8))
    height = draw(st.integers(1, min(5, 3 * width)))
    size = (width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind] + 7) // 8
    rows = b"".join(
        bytes([draw(st.integers(0, 4))]) + draw(st.binary(min_size=size, max_size=size)) for _ in range(height)
    )
    before = []
    if kind == 3:
        colours = 2**depth
        before.append((b"PLTE", draw(st.binary(min_size=3 * colours, max_size=3 * colours))))
    if (kind in {2, 3} or (kind, depth) == (0, 8)) and draw(st.booleans()):
        low = st.integers(0, 2**depth - 1).map(lambda value: bytes((0, value)))
        key = {0: low, 2: st.tuples(low, low, low).map(b"".join), 3: st.binary(min_size=1, max_size=2**depth)}[kind]
        before.append((b"tRNS", draw(key)))
    return picture(width, height, rows, kind=kind, depth=depth, before=before)
