"""What could compress texts: levels of zstd, and a dictionary trained on other texts, by the size of the frame.

    print(dictionary_table())

The frames are texts end to end, as chunks hold them. The dictionary learns from one half of the sample and is tried on
the other; its own bytes, which a repository would have to keep, are said beside.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import zstandard

from snap_cli.sample import load
from snapstore.digest import Buffer

__all__ = ["dictionary_table", "fastest"]

_DICTIONARY_BYTES = 112_640  # what `zstd --train` makes
_LEVELS = (1, 3, 9)
_ENOUGH_SECONDS = 0.5
_CHUNK_ROWS = 32


def dictionary_table() -> str:
    """The table, in Markdown."""
    texts = [memory.content.encode() for memory in load().memories]
    known, new = texts[::2], texts[1::2]
    trained = zstandard.train_dictionary(_DICTIONARY_BYTES, list[Buffer](known))
    head = "".join(f" zstd {level} | with |" for level in _LEVELS)
    lines = [
        f"\n**Texts**, {sum(map(len, new)) / 1e3:.0f} KB in {len(new):,} memories; share of raw, and MB/s to compress, "
        f"with a dictionary of {len(trained.as_bytes()) / 1e3:.0f} KB and without\n",
        f"| frame |{head}",
        "|---|" + "---:|" * (2 * len(_LEVELS)),
    ]
    for name, size in (
        ("a chunk of 32 rows", 1),
        ("16 KiB", 16 << 10),
        ("128 KiB, what the writer aims at", 128 << 10),
    ):
        frames = list(_frames(new, size))
        cells = [
            _cell(frames, zstandard.ZstdCompressor(level=level, dict_data=dictionary))
            for level in _LEVELS
            for dictionary in (None, trained)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _frames(texts: list[bytes], least_bytes: int) -> Iterator[bytes]:
    """Whole chunks of texts end to end, as many as it takes to reach so many bytes."""
    frame = b""
    for start in range(0, len(texts), _CHUNK_ROWS):
        frame += b"".join(texts[start : start + _CHUNK_ROWS])
        if len(frame) >= least_bytes:
            yield frame
            frame = b""
    if frame:
        yield frame


def _cell(frames: list[bytes], compressor: zstandard.ZstdCompressor) -> str:
    plain, stored = sum(map(len, frames)), sum(len(compressor.compress(frame)) for frame in frames)
    seconds = fastest(lambda: [compressor.compress(frame) for frame in frames])
    return f"{stored / plain:.3f}, {plain / 1e6 / seconds:,.0f}"


def fastest(work: Callable[[], object]) -> float:
    """Seconds of processor in the fastest of several runs: what others do on this machine only ever adds."""
    times: list[float] = []
    while sum(times) < _ENOUGH_SECONDS:
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)
