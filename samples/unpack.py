"""Unpack the committed samples: `python -m samples.unpack [NAME ...]`. Needs nothing but the standard library."""

from __future__ import annotations

import lzma
import os
import sys
from pathlib import Path

__all__ = ["BUILT", "main", "names", "unpack"]

BUILT = Path(__file__).with_name("built")
_BLOCK = 1 << 16
_ZEROS = bytes(_BLOCK)


def names() -> list[str]:
    """Return the names of the samples that are committed ("ws2019-failed.vhdx")."""
    return sorted(path.name.removesuffix(".xz") for path in BUILT.glob("*.xz"))


def _mark(packed: Path, plain: Path) -> str:
    """Return what tells that a plain file is the packed one's: both sizes and both times."""
    one, two = packed.stat(), plain.stat()
    return f"{one.st_size} {one.st_mtime_ns} {two.st_size} {two.st_mtime_ns}\n"


def unpack(name: str) -> Path:
    """Return the plain file of a sample, unpacked where it is not there or is another one.

    Zero blocks become holes. The file appears whole or not at all: tests may run beside this.

    Raises:
        FileNotFoundError: there is no such sample.
        lzma.LZMAError: the packed file is damaged.

    """
    packed, plain = BUILT / f"{name}.xz", BUILT / name
    marker = BUILT / f".{name}.unpacked"
    if not packed.is_file():
        raise FileNotFoundError(f"there is no sample {name} in {BUILT}")
    try:
        if marker.read_text() == _mark(packed, plain):
            return plain
    except OSError:
        pass  # not unpacked yet
    partial = BUILT / f".{name}.{os.getpid()}.partial"
    try:
        with lzma.open(packed) as source, partial.open("wb") as target:
            size = 0
            while block := source.read(_BLOCK):
                if block == _ZEROS[: len(block)]:
                    target.seek(len(block), os.SEEK_CUR)
                else:
                    target.write(block)
                size += len(block)
            target.truncate(size)
        partial.replace(plain)
    finally:
        partial.unlink(missing_ok=True)
    partial.write_text(_mark(packed, plain))
    partial.replace(marker)
    return plain


def main(arguments: list[str] | None = None) -> int:
    """Unpack the named samples, or all; return 1 when one is not there."""
    wanted = sys.argv[1:] if arguments is None else arguments
    for name in wanted or names():
        try:
            unpack(name)
        except FileNotFoundError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
