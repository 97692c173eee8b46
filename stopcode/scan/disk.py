"""What an image is, whether or not there is a Windows in it, and whatever is damaged: everything known is told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import cast

from forensics.collect import Machine, hibernation
from forensics.collect.system import collect as collect_system
from forensics.disk.container import Container, open_container
from forensics.disk.describe import describe_layer, describe_partitions, describe_volume, extents_of, is_counted
from forensics.disk.find import Candidate
from forensics.disk.options import ImageOptions
from forensics.disk.parents import MISSING
from forensics.disk.pick import pick_windows
from forensics.disk.volumes import find_volumes
from forensics.disk.windows import WindowsVolume
from forensics.facts import Wants, empty_facts
from forensics.remote.address import is_address, shown_address
from forensics.remote.ranges import RemoteError
from parsers.bytesource import WindowSource
from parsers.diagnostics import Diagnostics
from parsers.disk.extents import merged
from parsers.errors import ReadError, StopcodeError
from stopcode import __version__
from stopcode.report.disk import DISK_SCHEMA, ContentDict, DiskDocument, UnreadableDict, WindowsDict
from stopcode.rescue.reading import CHUNK, Unreadable, chunks
from stopcode.scan.clock import Clock

__all__ = ["DiskImage"]

_ZEROS = bytes(CHUNK)


class DiskImage:
    """An image, opened and described as far as it can be; close it.

    Args:
        path: a disk image, or the address of one.
        options: what the user gives beside the name.

    Attributes:
        document: what is known of it.

    Raises:
        OpenError: no such file, or no disk at all; a parent that is missing is none, and told in the document.
        FormatError: the container is damaged beyond use.
        UnsupportedError: a kind of container that is not read.

    """

    def __init__(self, path: str, options: ImageOptions | None = None) -> None:
        self._clock = Clock()
        self._diagnostics = Diagnostics()
        remote = is_address(path)
        shown = shown_address(path) if remote else path
        self._container = open_container(
            path if remote else Path(path), self._diagnostics, options, without_parents=True
        )
        try:
            self.document = self._described(shown, options or ImageOptions())
        except BaseException:
            self.close()
            raise

    def _described(self, shown: str, options: ImageOptions) -> DiskDocument:
        container = self._container
        first, *chain = map(describe_layer, container.layers)
        first["path"] = shown  # an address is no path of this machine
        document: DiskDocument = {
            "schema": DISK_SCHEMA,
            "tool": {"name": "stopcode", "version": __version__, "rules": 0},
            "source": {"path": shown, "kind": container.kind, "size": container.size},
            "container": first,
            "chain": chain,
            "volumes": [],
            "windows": [],
            "diagnostics": [],
            "stats": {},
        }
        lost = _lost(container)
        if lost:
            document["unreadable"] = _told(lost)
        try:
            table, volumes = find_volumes(
                container.source, container.sector_size, self._diagnostics, options.keys, options.shadow_copy
            )
        except ReadError as error:
            self._diagnostics.error(
                "disk.unreadable", f"The beginning of the disk cannot be read: {error.message}", hint=error.hint
            )
            return self._finished(document)
        document["partition_table"] = describe_partitions(table, container.source) if table is not None else None
        picked = pick_windows(table, volumes, self._diagnostics)
        if picked.chosen is not None:
            volumes[picked.chosen.index].role = "windows"
        document["volumes"] = [describe_volume(volume) for volume in volumes]
        document["windows"] = [_windows(found, found is picked.chosen, self._diagnostics) for found in picked.found]
        return self._finished(document)

    def add_digest(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Add the digest of the virtual disk's bytes to the document.

        What is not stored is not read. A place that cannot be read counts as zeros, and is named.

        Args:
            progress: told how many bytes are done, and of how many.

        """
        container = self._container
        # Past the cache: nothing is read twice.
        disk = container.layers[0].source
        digest = hashlib.sha256()
        unreadable = Unreadable()
        done = 0

        def take(data: bytes | memoryview) -> None:
            nonlocal done
            digest.update(data)
            done += len(data)
            if progress is not None:
                progress(done, container.size)

        for extent in merged(extents_of(container.layers)):
            if extent.state in ("zero", "lost"):
                if extent.state == "lost":
                    unreadable.add(extent.offset, extent.length, "")
                for at in range(0, extent.length, CHUNK):
                    take(memoryview(_ZEROS)[: extent.length - at])
                continue
            part = Unreadable()
            for data in chunks(WindowSource(disk, extent.offset, extent.length), part):
                take(data)
            for offset, length in part.ranges:
                unreadable.add(extent.offset + offset, length, part.reason)
            unreadable.bytes += part.bytes - sum(length for _, length in part.ranges)
        content: ContentDict = {"bytes": done, "sha256": digest.hexdigest()}
        if unreadable:
            content["unreadable"] = _told(unreadable)
        self.document["content"] = content
        self._finished(self.document)

    def _finished(self, document: DiskDocument) -> DiskDocument:
        failure = self._container.remote.failure if self._container.remote is not None else None
        # That nothing more can be read is told where it comes up.
        if failure is not None and not isinstance(failure, RemoteError):
            self._diagnostics.error(
                "disk.unreadable",
                f"The image's server failed: {failure.message}; what is told as damaged or missing may be neither",
                hint="look again when the server is well",
            )
        document["diagnostics"] = [item.to_dict() for item in self._diagnostics.items]
        document["stats"] = self._clock.stats(self._container.bytes_read, self._container.requests)
        return document

    def close(self) -> None:
        """Close every file."""
        self._container.close()

    def __enter__(self) -> DiskImage:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _lost(container: Container) -> Unreadable:
    """Return what the chain's own tables say to be where no file has it; very large tables are not asked."""
    lost = Unreadable()
    if all(layer.kind == MISSING or layer.extents is None or is_counted(layer) for layer in container.layers):
        for extent in merged(extents_of(container.layers)):
            if extent.state == "lost":
                lost.add(extent.offset, extent.length, "")
    return lost


def _told(unreadable: Unreadable) -> UnreadableDict:
    return {"bytes": unreadable.bytes, "ranges": [list(each) for each in unreadable.ranges]}


def _windows(found: Candidate, chosen: bool, diagnostics: Diagnostics) -> WindowsDict:
    """Return one Windows, with what its hives say of it; what they do not say is left out."""
    made: WindowsDict = {"volume": found.index, "root": found.root, "chosen": chosen, "lacks": list(found.lacks)}
    facts = empty_facts()
    quiet = Diagnostics()
    said = diagnostics if chosen else quiet
    hibernation.collect(Machine(WindowsVolume(found.root, found.files, quiet), Wants(), said), facts)
    if facts["boot"].get("hibernation", "none") != "none":
        made["hibernation"] = facts["boot"]["hibernation"]
    try:
        collect_system(Machine(WindowsVolume(found.root, found.files, quiet), Wants(), quiet), facts)
    except StopcodeError:
        return made
    for name in ("product", "version", "hostname"):
        known = cast("dict[str, str]", facts["system"]).get(name)
        if known:
            made[name] = known
    return made
