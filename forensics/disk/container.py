"""Open a disk image: whatever its container, one virtual disk comes out, read-only, with its chain and its flaws told.

By content first, then by name. VHD and VHDX are read by `parsers.disk`; VMDK, QCOW2, VDI and E01 by dissect's
low-level readers behind a guard that turns their exceptions and short reads into ours; each is imported when such a
file is met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from forensics.disk.cache import CachedSource
from forensics.disk.chain import open_vhd, open_vhdx
from forensics.disk.claims import claimed_end, sector_size_of
from forensics.disk.opening import Layer, Opening
from forensics.disk.options import ImageOptions
from forensics.disk.recognise import recognise
from forensics.disk.split import joined, open_parts
from forensics.remote.address import is_address
from forensics.remote.opening import answered, open_remote
from parsers.bytesource import ByteSource, ImageFile
from parsers.diagnostics import Diagnostics
from parsers.errors import ReadError

if TYPE_CHECKING:
    from forensics.remote.blocks import RemoteFile

__all__ = ["Container", "open_container"]


class Container:
    """One disk image, open.

    Attributes:
        source: the virtual disk, over or behind a block cache.
        kind: "VHD", "VHDX", "VMDK", "QCOW2", "VDI", "E01" or "raw".
        size: bytes of the virtual disk.
        sector_size: bytes of a logical sector: partition tables and boot sectors count in it.
        files: every host file that it reads, with what was read of each.
        details: facts about the container for a report, plain data.
        layers: the disk and its parents, nearest first.
        remote: the one of the files that lies elsewhere; None when all are on this machine.

    """

    def __init__(self, layer: Layer, opening: Opening) -> None:
        self.layers = [layer, *layer.parents]
        # A remote file has a cache of its own, below the container; one is enough.
        self.source: ByteSource = layer.source if opening.remote is not None else CachedSource(layer.source)
        self.remote = opening.remote
        self.kind = layer.kind
        self.size = layer.source.size
        self.sector_size = layer.sector_size
        self.files: list[ImageFile] = opening.files
        self.details: dict[str, Any] = dict(layer.details)
        if layer.subtype:
            self.details["subtype"] = layer.subtype
        if layer.parents:
            self.details["parents"] = [{"path": above.path.name, "kind": above.kind} for above in layer.parents]
        self._opening = opening

    @property
    def bytes_read(self) -> int:
        """Bytes read from the host files so far."""
        return sum(file.bytes_read for file in self.files)

    @property
    def requests(self) -> int:
        """Reads of the host files so far."""
        return sum(file.requests for file in self.files)

    def ahead(self, readings: Iterable[Callable[[], object]]) -> None:
        """Fetch together what readings of the disk need, where a read is a journey; a local disk needs no such thing.

        Args:
            readings: will be made soon; whatever they give or raise now is thrown away.

        """
        if self.remote is not None:
            self.remote.ahead(readings)

    def close(self) -> None:
        """Close the host files."""
        self._opening.close()

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_container(
    path: str | Path | RemoteFile,
    diagnostics: Diagnostics,
    options: ImageOptions | None = None,
    *,
    without_parents: bool = False,
) -> Container:
    """Open a disk image.

    Args:
        path: its file, or its address; of a split image its first part, of a chain its youngest child. A remote file
            may be given opened, and is closed with the container.
        diagnostics: takes what was doubtful, damaged or worked around.
        options: what the user gives beside the name.
        without_parents: go on where a parent is missing; that is told, and what it holds cannot be read.

    Raises:
        InputNotFoundError: no such file.
        NotADiskError: something else than a disk; the hint says what to do with it.
        MissingParentError: a parent, backing file or part is not beside it, or is not the right one.
        UnsupportedError: a disk of a kind that is not read.
        FormatError: bytes that contradict the format; TruncatedError where they end too early.
        OpenError: the file may not be read, or its server failed.

    """
    opening = Opening(diagnostics, options, without_parents=without_parents)
    try:
        place = _located(path, opening)
        with answered(opening.remote):
            layer = open_layer(place, opening)
        _check_claims(layer, diagnostics)
        return Container(layer, opening)
    except BaseException:
        opening.close()
        raise


def _located(path: str | Path | RemoteFile, opening: Opening) -> Path:
    """Return what stands for an image's file from here on."""
    if isinstance(path, Path) or (isinstance(path, str) and not is_address(path)):
        return Path(path)
    options = opening.options
    if isinstance(path, str):
        path = open_remote(
            path, opening.diagnostics, allow_redirects=options.allow_redirects, allow_private=options.allow_private
        )
    place = Path(path.shown)
    opening.take_over(path, place)
    return place


def open_layer(path: Path, opening: Opening, *, kind: str = "") -> Layer:
    """Open one disk of a chain, and its parents.

    Args:
        path: its file.
        opening: the image that it belongs to.
        kind: what it is, where its child knows; found by its content otherwise.

    """
    opening.enter(path)
    try:
        source = opening.file(path)
        layer = _open_kind(kind or recognise(source, path), source, path, opening)
        # Where a disk has several files, its reader has counted them.
        layer.file_size = layer.file_size or source.size
        return layer
    finally:
        opening.leave()


def _open_kind(kind: str, source: ImageFile, path: Path, opening: Opening) -> Layer:
    # Readers of other formats, and dissect behind them, are imported when a file of their kind is met.
    if kind == "VHD":
        return open_vhd(source, path, opening, open_layer)
    if kind == "VHDX":
        return open_vhdx(source, path, opening, open_layer)
    if kind == "VMDK":
        from forensics.disk.vmdk import open_vmdk

        return open_vmdk(source, path, opening, open_layer)
    if kind == "QCOW2":
        from forensics.disk.qcow2 import open_qcow2

        return open_qcow2(source, path, opening, open_layer)
    if kind == "VDI":
        from forensics.disk.vdi import open_vdi

        return open_vdi(source, path, opening, open_layer)
    if kind == "E01":
        from forensics.disk.ewf import open_ewf

        return open_ewf(source, path, opening)
    return _open_raw(source, path, opening)


def _open_raw(source: ImageFile, path: Path, opening: Opening) -> Layer:
    parts = open_parts(source, path, opening)
    layer = Layer(joined(parts), "raw", path, "", sector_size_of(source))
    if len(parts) > 1:
        layer.details["parts"] = len(parts)
        layer.file_size = layer.source.size
    if path.suffix.lower() == ".vhd":
        opening.diagnostics.warning(
            "vhd.no-footer",
            "a fixed VHD without its footer: it was read as a raw disk",
            hint="the end of the file is missing: compare its size with the original's",
            source=path.name,
        )
    return layer


def _check_claims(layer: Layer, diagnostics: Diagnostics) -> None:
    """Say when a disk's own partition table reaches further than the disk: its file was cut."""
    try:
        claim = claimed_end(layer.source, layer.sector_size)
    except ReadError:
        return  # whoever needs these sectors will say that they cannot be read
    if claim is not None and claim[0] > layer.source.size:
        diagnostics.error(
            "container.truncated",
            f"the disk has {layer.source.size} bytes, and {claim[1]} says that it has at least {claim[0]}",
            hint="the file is cut: copy or download it again; what is there was read",
            source=layer.path.name,
        )
