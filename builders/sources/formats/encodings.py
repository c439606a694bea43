"""The text of a file, whatever it is packed in (gzip, Zstandard) and encoded in (UTF-8, UTF-16, GB18030)."""

import codecs
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from schemas.settings import InputError

CHUNK = 1 << 22
FEW = 0.01
"""Up to this share of its non-ASCII bytes, a UTF-8 file may be damaged and is still UTF-8."""
MOST_NOT_GB18030 = 0.1
"""Past this share of errors it is not GB18030 either, whatever it is: Latin-1, or no text at all."""
ASCII = bytes(range(128))
BOM = "\ufeff"


class Codec(NamedTuple):
    """How a file is decoded."""

    name: str
    clean: bool
    """Whether it decodes without an error; otherwise U+FFFD stands where it did not."""
    note: str | None = None
    """What was taken for what, when that was not plain."""


def codec_of(path: Path) -> Codec:
    """Read a file once to know its encoding; raises InputError when it is none of ours."""
    with opened(path) as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return Codec("utf-16", clean=False)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in _chunks(path):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _weighed(path)
    return Codec("utf-8", clean=True)


def utf8_chunks(path: Path, codec: Codec) -> Iterator[bytes]:
    """A file in pieces, unpacked, as UTF-8 without byte order mark; a piece may end within a character."""
    if codec.name == "utf-8" and codec.clean:
        chunks = _chunks(path)
        yield next(chunks, b"").removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(codec.name)("replace")
    chunks = _chunks(path)
    text = decoder.decode(next(chunks, b"")).removeprefix(BOM)
    for chunk in chunks:
        yield text.encode()
        text = decoder.decode(chunk)
    yield (text + decoder.decode(b"", final=True)).encode()


def text_lines(path: Path, codec: Codec) -> Iterator[str]:
    """A file line by line, without byte order mark, each line with the end it has: LF, CRLF or CR."""
    with (
        opened(path) as file,
        io.TextIOWrapper(file, encoding=codec.name, errors="replace", newline="") as lines,
    ):
        yield next(lines, "").removeprefix(BOM)
        yield from lines


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, unpacked; raises InputError for what cannot be read."""
    import pyarrow as pa

    packed = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix.lower())
    try:
        with path.open("rb") as file:
            if not packed:
                yield file
                return
            with pa.CompressedInputStream(file, packed) as unpacked:
                yield unpacked
    except OSError as wrong:
        raise InputError(f"{path}: {wrong.strerror or ' '.join(str(wrong).split())}") from None


def _chunks(path: Path) -> Iterator[bytes]:
    with opened(path) as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _weighed(path: Path) -> Codec:
    """Which encoding explains most of a file that is not quite UTF-8."""
    foreign = not_utf8 = not_gb18030 = 0
    utf8, gb18030 = codecs.getincrementaldecoder("utf-8")("ignore"), codecs.getincrementaldecoder("gb18030")("replace")
    for chunk in _chunks(path):
        foreign += len(chunk.translate(None, ASCII))
        waiting = len(utf8.getstate()[0])
        kept = len(utf8.decode(chunk).encode())
        not_utf8 += waiting + len(chunk) - kept - len(utf8.getstate()[0])
        not_gb18030 += gb18030.decode(chunk).count("\ufffd")
    if not_utf8 < FEW * foreign:
        broken = f"{not_utf8 + len(utf8.getstate()[0])} of {foreign} non-ASCII bytes are not UTF-8"
        return Codec("utf-8", clean=False, note=f"{broken}; read as UTF-8, with U+FFFD in their place")
    if not_gb18030 > MOST_NOT_GB18030 * foreign:
        raise InputError(f"{path}: neither UTF-8 nor GB18030 text; convert it to UTF-8")
    return Codec("gb18030", clean=False, note="not UTF-8; read as GB18030")
