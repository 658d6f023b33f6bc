"""A small PNG picture: checked whole without a decoder that could be attacked, and its points as red, green, blue and
alpha (PNG specification, third edition)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

MAX_BYTES = 64 << 10  # the picture stands in the content, the page and the PDF of every case
MAX_POINTS = 1 << 18  # 512 x 512; printed 14 mm high, more cannot be seen
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type: grey, colour, palette, grey and alpha, colour and alpha
_GREY, _COLOUR, _PALETTE, _GREY_ALPHA = 0, 2, 3, 4
# No text, colour profile, orientation or animation: what is not drawn alike everywhere, and what a reader does not see.
_KNOWN = frozenset(
    (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"sBIT", b"bKGD", b"tIME")
)
_ORDER = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


@dataclass(frozen=True)
class Png:
    """``rows``: each row of points behind the number of its filter, not compressed."""

    width: int
    height: int
    depth: int
    kind: int
    palette: bytes
    transparent: bytes | None
    rows: bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, without the number of its filter."""
        return (self.width * self.depth * _CHANNELS[self.kind] + 7) // 8


@lru_cache(maxsize=2)
def read_png(data: bytes) -> Png:
    """Raises ValueError, which says what the picture must, in words that go on after "must"."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"have at most {MAX_BYTES >> 10} KiB (this has {-(-len(data) // 1024)})")
    if not data.startswith(_SIGNATURE):
        raise ValueError("be a PNG picture (this does not begin like one)")
    chunks = tuple(_chunks(data))
    names = [name for name, _ in chunks]
    if [*names[:1], *names[-1:]] != [b"IHDR", b"IEND"] or names.count(b"IHDR") + names.count(b"IEND") != 2:
        raise ValueError("be a whole PNG picture (this has no head or no end)")
    if other := sorted(set(names) - _KNOWN):
        raise ValueError(f"hold the picture alone (this has {other[0].decode()}; save it without text and profile)")
    ordered = [name for name, _ in groupby(names) if name in _ORDER]
    if ordered != sorted(set(ordered), key=_ORDER.index):
        raise ValueError("be a PNG picture whose parts stand once and in order")
    return _decoded(chunks)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and bytes of each part, whose sum is right; the last one ends the file."""
    at = len(_SIGNATURE)
    while at < len(data):
        size, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        body, given = data[at + 8 : at + 8 + size], data[at + 8 + size : at + 12 + size]
        if len(given) != 4 or not name.isalpha() or zlib.crc32(name + body) != int.from_bytes(given):
            raise ValueError("be a whole PNG picture (this is damaged)")
        yield name, body
        at += 12 + size


def _decoded(chunks: tuple[tuple[bytes, bytes], ...]) -> Png:
    parts = {name: body for name, body in chunks if name != b"IDAT"}
    head = parts[b"IHDR"]
    if len(head) != 13:
        raise ValueError("be a whole PNG picture (its head is damaged)")
    width, height = int.from_bytes(head[:4]), int.from_bytes(head[4:8])
    depth, kind, packing, filters, interlaced = head[8:]
    if not 0 < width * height <= MAX_POINTS:
        raise ValueError(f"have 1 to {MAX_POINTS:,} pixels, such as 1024 x 256 (this has {width} x {height})")
    if width > 8 * height or height > 3 * width:
        raise ValueError(
            f"be at most 8 times as wide as high and 3 times as high as wide (this has {width} x {height})"
        )
    if depth == 16 or interlaced:
        raise ValueError("be a PNG picture of 8 bits per channel or fewer that is not interlaced")
    if kind not in _CHANNELS or depth not in ((1, 2, 4, 8) if kind in {_GREY, _PALETTE} else (8,)) or packing | filters:
        raise ValueError("be a PNG picture of a known kind")
    found = Png(width, height, depth, kind, parts.get(b"PLTE", b""), parts.get(b"tRNS"), b"")
    _check_colours(found)
    rows = _unpacked(b"".join(body for name, body in chunks if name == b"IDAT"), height * (found.row_bytes + 1))
    if max(rows[:: found.row_bytes + 1]) > 4:
        raise ValueError("be a PNG picture with known filters")
    found = Png(width, height, depth, kind, found.palette, found.transparent, rows)
    if kind == _PALETTE and max(_samples(found)) >= len(found.palette) // 3:
        raise ValueError("be a PNG picture whose palette has all its colours")
    return found


def _check_colours(found: Png) -> None:
    palette = len(found.palette)
    if found.kind == _PALETTE and (palette % 3 or not 0 < palette // 3 <= 2**found.depth):
        raise ValueError("be a PNG picture whose palette has all its colours")
    if palette and found.kind in {_GREY, _GREY_ALPHA}:
        raise ValueError("be a PNG picture without a palette of greys")
    # Programs do not agree which grey of fewer bits is meant.
    lengths = {_GREY: (2,) if found.depth == 8 else (), _COLOUR: (6,), _PALETTE: range(1, palette // 3 + 1)}.get(
        found.kind, ()
    )
    if found.transparent is not None and len(found.transparent) not in lengths:
        raise ValueError("be a PNG picture whose transparent colour is one of its colours")


def _unpacked(packed: bytes, size: int) -> bytes:
    """Exactly ``size`` bytes, however many the packed ones would become."""
    unpacking = zlib.decompressobj()
    try:
        rows = unpacking.decompress(packed, size + 1)
    except zlib.error:
        raise ValueError("be a whole PNG picture (its points are damaged)") from None
    if len(rows) != size or not unpacking.eof or unpacking.unused_data:
        raise ValueError("be a whole PNG picture (it has more or fewer points than it says)")
    return rows


# -- the points -------------------------------------------------------------------------------------------------------


def rgba(found: Png) -> bytes:
    """Four bytes for each point, row after row."""
    samples = _samples(found)
    if found.kind == _PALETTE:
        channels = [samples.translate(found.palette[at::3].ljust(256, b"\0")) for at in range(3)]
        alpha = samples.translate((found.transparent or b"").ljust(256, b"\xff"))
    else:
        step = _CHANNELS[found.kind]
        colours = 1 if found.kind in {_GREY, _GREY_ALPHA} else 3
        plain = [samples[at::step] for at in range(colours)]
        alpha = samples[step - 1 :: step] if step in {2, 4} else _keyed(found, plain)
        channels = [channel.translate(_scaled(found.depth)) for channel in plain] * (3 // colours)
    points = bytearray(4 * found.width * found.height)
    for at, channel in enumerate((*channels, alpha)):
        points[at::4] = channel
    return bytes(points)


def _scaled(depth: int) -> bytes:
    """A sample of few bits as one of eight."""
    return bytes(min(255, value * (255 // (2**depth - 1))) for value in range(256))


def _keyed(found: Png, channels: list[bytes]) -> bytes:
    """Alpha of a picture in which one colour may be transparent."""
    if found.transparent is None:
        return b"\xff" * len(channels[0])
    colour = tuple(found.transparent[1::2])
    return bytes(0 if point == colour else 255 for point in zip(*channels, strict=True))


def _samples(found: Png) -> bytes:
    """A byte for each sample, unfiltered."""
    plain = _unfiltered(found)
    if found.depth == 8:
        return plain
    per_byte, mask = 8 // found.depth, 2**found.depth - 1
    shifts = [8 - found.depth * (at + 1) for at in range(per_byte)]
    table = [bytes(byte >> shift & mask for shift in shifts) for byte in range(256)]
    size = found.row_bytes
    rows = (plain[at : at + size] for at in range(0, len(plain), size))
    return b"".join(b"".join(table[byte] for byte in row)[: found.width] for row in rows)


def _unfiltered(found: Png) -> bytes:
    """The rows as they were before they were filtered (section 9 of the specification)."""
    size, back = found.row_bytes, max(1, found.depth * _CHANNELS[found.kind] // 8)
    before, rows = bytearray(size), []
    for at in range(0, len(found.rows), size + 1):
        kind, row = found.rows[at], bytearray(found.rows[at + 1 : at + 1 + size])
        for index in range(size) if kind else ():
            left = row[index - back] if index >= back else 0
            corner = before[index - back] if index >= back else 0
            row[index] = row[index] + _predicted(kind, left, before[index], corner) & 255
        rows.append(row)
        before = row
    return b"".join(rows)


def _predicted(kind: int, left: int, above: int, corner: int) -> int:
    if kind < 3:
        return left if kind == 1 else above
    if kind == 3:
        return (left + above) // 2
    guess = left + above - corner
    return min((left, above, corner), key=lambda one: abs(guess - one))
