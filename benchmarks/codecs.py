"""What could compress the vectors of a frame, measured: size, and megabytes a second each way, on one thread.

    python -m benchmarks.codecs           # the tables of docs/decisions/0011-planes-by-their-letters.md
    python -m benchmarks.codecs --vectors embeddings.npy

Every codec gets the same frames of 512 KiB, one call each, as the writer of packs makes them, and must give the bytes
back. Codecs that are not installed (`pip install -e '.[codecs]'`) are passed over, and said to be. It knows no
database: the vectors are the sample's, or of a file of yours (float32, a row each).
"""

from __future__ import annotations

import argparse
import importlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from benchmarks.texts import dictionary_table, fastest
from snap_cli.sample import load
from snapstore.blobs.frame import decode, encode

__all__ = ["Codec", "codecs", "vectors"]

FRAME_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Codec:
    """One way to store a frame of elements of `stride` bytes: plain bytes to stored ones, and back."""

    name: str
    encode: Callable[[bytes, int], bytes]
    decode: Callable[[bytes, int], bytes]


def main() -> None:
    """Print the tables, in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.codecs", description=__doc__)
    parser.add_argument("--vectors", type=Path, metavar="FILE", help="real vectors: a .npy file of float32")
    arguments = parser.parse_args()
    real = load().embeddings if arguments.vectors is None else np.load(arguments.vectors).astype("<f4")
    missing = []
    for title, plain, stride in vectors(real):
        print(f"\n**{title}**, {len(plain) / 1e6:.1f} MB\n")
        print("| codec | of raw | encode | decode |\n|---|---:|---:|---:|")
        for codec, lacks in codecs():
            if lacks:
                missing.append(codec.name)
            elif (line := _measure(codec, plain, stride)) is not None:
                print(line, flush=True)
    if missing:
        print("\nNot installed, so not measured: " + ", ".join(sorted(set(missing))) + ".")
    print(dictionary_table())


def vectors(real: NDArray[np.float32]) -> Iterator[tuple[str, bytes, int]]:
    """What each table is of: a title, the plain bytes, and the size of an element."""
    unit = np.random.default_rng(1536).standard_normal((2400, 1536), dtype=np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    halves = real.astype("<f2")
    yield f"Real vectors (MiniLM, {len(real):,} × {real.shape[1]}, float32)", real.astype("<f4").tobytes(), 4
    yield "Random unit vectors (2,400 × 1536, float32)", unit.astype("<f4").tobytes(), 4
    yield "Float16-born (the real ones, rounded to float16 and back)", halves.astype("<f4").tobytes(), 4
    yield "Decimal-born (the real ones, as JSON with 6 decimals gives them)", np.round(real, 6).tobytes(), 4
    yield "`halfvec` (the real ones as float16)", halves.tobytes(), 2


def codecs() -> list[tuple[Codec, bool]]:
    """Every codec, and whether the library it needs is missing."""
    found = [
        (Codec("**chosen**: byte planes, each on its own, zstd that looks for letters only", _frame, _unframe), False),
        *[
            (Codec(f"byte planes, each its own zstd {level}", partial(_planes, level=level), _unframe), False)
            for level in (1, 3, 9)
        ],
        (Codec("chosen, with the sign turned behind the mantissa", _encode_turned, _decode_turned), False),
        (Codec("the same, dimension by dimension", _encode_by_dimension, _decode_by_dimension), False),
        (Codec("XOR with the element before, then chosen", _encode_xor, _decode_xor), False),
        *[(Codec(f"zstd {level} alone", partial(_zstd, level=level), _unzstd), False) for level in (1, 3, 9, 19)],
    ]
    for names, libraries in (
        (_PCODEC, "pcodec"),
        (_BITSHUFFLE, "bitshuffle"),
        (_BLOSC, "blosc2"),
        (_FPZIP, "fpzip"),
        (_OPENZL, "openzl.ext"),
    ):
        try:
            library = importlib.import_module(libraries)
        except ImportError:
            library = None
        found += [
            (Codec(name, partial(one, library), partial(back, library)), library is None) for name, one, back in names
        ]
    return found


def _measure(codec: Codec, plain: bytes, stride: int) -> str | None:
    """A line of the table; none if the codec cannot hold such elements."""
    frames = [plain[at : at + FRAME_BYTES] for at in range(0, len(plain), FRAME_BYTES)]
    try:
        stored = [codec.encode(frame, stride) for frame in frames]
    except NotImplementedError:
        return None
    if [codec.decode(one, stride) for one in stored] != frames:
        raise AssertionError(f"{codec.name} does not give the bytes back")
    forth = fastest(lambda: [codec.encode(frame, stride) for frame in frames])
    back = fastest(lambda: [codec.decode(one, stride) for one in stored])
    speeds = [f"{len(plain) / 1e6 / seconds:,.0f} MB/s" for seconds in (forth, back)]
    return f"| {codec.name} | {sum(map(len, stored)) / len(plain):.3f} | {speeds[0]} | {speeds[1]} |"


def _frame(plain: bytes, stride: int) -> bytes:
    return encode([plain], stride)


def _unframe(stored: bytes, _stride: int) -> bytes:
    return decode(stored, "a benchmark")


def _planes(plain: bytes, stride: int, *, level: int) -> bytes:
    """A frame of the same form (format.md §5), each plane at a level of zstd."""
    compressor, pieces = zstandard.ZstdCompressor(level=level), [struct.pack("<BBHI", 2, stride, 0, len(plain))]
    for plane in np.ascontiguousarray(np.frombuffer(plain, np.uint8).reshape(-1, stride).T):
        stored = min(compressor.compress(plane.data), plane.tobytes(), key=len)
        pieces += [struct.pack("<I", len(stored)), stored]
    return b"".join(pieces)


def _turn(plain: bytes, stride: int) -> NDArray[Any]:
    """The sign moved to the last bit: of a float32 the exponent is then a byte of its own, and a plane of its own."""
    words = np.frombuffer(plain, f"<u{stride}")
    return (words << 1) | (words >> (8 * stride - 1))


def _back(plain: bytes, stride: int) -> NDArray[Any]:
    words = np.frombuffer(plain, f"<u{stride}")
    return (words >> 1) | (words << (8 * stride - 1))


def _encode_turned(plain: bytes, stride: int) -> bytes:
    return encode([_turn(plain, stride).tobytes()], stride)


def _decode_turned(stored: bytes, stride: int) -> bytes:
    return _back(decode(stored, "a benchmark"), stride).tobytes()


def _encode_by_dimension(plain: bytes, stride: int) -> bytes:
    # Of whole vectors; a frame of the real writer holds no others.
    words = _turn(plain, stride)
    whole = len(words) // 384 * 384
    ordered = words[:whole].reshape(-1, 384).T.tobytes() + words[whole:].tobytes()
    return encode([ordered], stride)


def _decode_by_dimension(stored: bytes, stride: int) -> bytes:
    words = np.frombuffer(_back(decode(stored, "a benchmark"), stride), f"<u{stride}")
    whole = len(words) // 384 * 384
    return words[:whole].reshape(384, -1).T.tobytes() + words[whole:].tobytes()


def _encode_xor(plain: bytes, stride: int) -> bytes:
    words = np.frombuffer(plain, f"<u{stride}").copy()
    words[1:] ^= words[:-1].copy()
    return encode([words.tobytes()], stride)


def _decode_xor(stored: bytes, stride: int) -> bytes:
    words = np.frombuffer(decode(stored, "a benchmark"), f"<u{stride}")
    return np.bitwise_xor.accumulate(words).tobytes()


def _zstd(plain: bytes, _stride: int, *, level: int) -> bytes:
    return zstandard.ZstdCompressor(level=level).compress(plain)


def _unzstd(stored: bytes, _stride: int) -> bytes:
    return zstandard.ZstdDecompressor().decompress(stored)


def _pco(library: Any, plain: bytes, stride: int, *, level: int, kind: str = "f") -> bytes:
    config = library.ChunkConfig(compression_level=level)
    stored: bytes = library.standalone.simple_compress(np.frombuffer(plain, f"<{kind}{stride}"), config)
    return stored


def _unpco(library: Any, stored: bytes, _stride: int) -> bytes:
    plain: bytes = library.standalone.simple_decompress(stored).tobytes()
    return plain


def _shuffled(library: Any, plain: bytes, stride: int) -> bytes:
    # On its own the filter compresses nothing: its zstd sees whole planes of bits.
    words = np.frombuffer(plain, f"<u{stride}")
    return zstandard.ZstdCompressor(level=1).compress(library.bitshuffle(words).tobytes())


def _unshuffled(library: Any, stored: bytes, stride: int) -> bytes:
    plain: bytes = library.bitunshuffle(
        np.frombuffer(zstandard.ZstdDecompressor().decompress(stored), f"<u{stride}")
    ).tobytes()
    return plain


def _blosc(library: Any, plain: bytes, stride: int, *, filter_name: str) -> bytes:
    stored: bytes = library.compress2(
        np.frombuffer(plain, f"<u{stride}"),
        typesize=stride,
        codec=library.Codec.ZSTD,
        clevel=1,
        filters=[library.Filter[filter_name]],
        nthreads=1,
    )
    return stored


def _unblosc(library: Any, stored: bytes, _stride: int) -> bytes:
    plain: bytes = library.decompress2(stored, nthreads=1)
    return plain


def _fpzip(library: Any, plain: bytes, stride: int) -> bytes:
    if stride != 4:
        raise NotImplementedError
    stored: bytes = library.compress(np.frombuffer(plain, "<f4").copy(), precision=0, order="C")
    return stored


def _unfpzip(library: Any, stored: bytes, _stride: int) -> bytes:
    plain: bytes = library.decompress(stored, order="C").tobytes()
    return plain


def _openzl(library: Any, plain: bytes, stride: int) -> bytes:
    compressor = library.Compressor()
    nodes, graphs = library.nodes, library.graphs
    split = nodes.Float32Deconstruct() if stride == 4 else nodes.Float16Deconstruct()
    field = graphs.Compress()
    graph = split(compressor, sign_frac=field, exponent=graphs.Huffman())
    compressor.select_starting_graph(graph)
    context = library.CCtx()
    context.ref_compressor(compressor)
    context.set_parameter(library.CParam.FormatVersion, library.MAX_FORMAT_VERSION)
    words = np.frombuffer(plain, f"<u{stride}").copy()
    held = library.Input(library.Type.Numeric, words)  # it does not hold the array: `words` must outlive it
    stored: bytes = context.compress([held])
    return stored


def _unopenzl(library: Any, stored: bytes, _stride: int) -> bytes:
    (output,) = library.DCtx().decompress(stored)
    return bytes(output.content.as_bytes())


_PCODEC = [
    *[(f"pcodec {level}", partial(_pco, level=level), _unpco) for level in (4, 8, 12)],
    ("pcodec 8, elements as integers", partial(_pco, level=8, kind="u"), _unpco),
]
_BITSHUFFLE = [("bitshuffle, then zstd 1", _shuffled, _unshuffled)]
_BLOSC = [
    ("blosc2: byte shuffle, zstd 1", partial(_blosc, filter_name="SHUFFLE"), _unblosc),
    ("blosc2: bit shuffle, zstd 1", partial(_blosc, filter_name="BITSHUFFLE"), _unblosc),
]
_FPZIP = [("fpzip", _fpzip, _unfpzip)]
_OPENZL = [("OpenZL: floats taken apart, exponents Huffman", _openzl, _unopenzl)]


if __name__ == "__main__":
    main()
