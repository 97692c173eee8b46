"""Make NTFS volumes of a folder: mkntfs makes the volume, wimlib fills it, nothing is mounted and no root is needed."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from samples.ntfs_stamp import stamp
from samples.times import filetime
from samples.tools import run

__all__ = ["make_volume"]


def make_volume(
    path: Path, tree: Path, *, size: int, label: str, first_sector: int, newest: datetime, serial: int
) -> None:
    """Make a volume with a folder's files.

    Args:
        path: file to make; it is sparse.
        tree: folder that becomes the root.
        size: bytes, a multiple of 4096.
        label: its name; "" for none.
        first_sector: of the partition it will lie in; the boot sector tells it.
        newest: no time on the volume is to be after this one.
        serial: of the volume.

    """
    with path.open("wb") as file:
        file.truncate(size)
    name = ["-L", label] if label else []
    run(
        "mkntfs", "-F", "-Q", "-s", "512", "-c", "4096", "-p", str(first_sector), "-H", "255", "-S", "63", *name, path
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "tree.wim"
        run("wimlib-imagex", "capture", tree, image, "--compress=none", "--no-acls")
        run("wimlib-imagex", "apply", image, "1", path)
    stamp(path, newest=filetime(newest), serial=serial)
