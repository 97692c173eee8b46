"""Artefacts in a zip: the same files give the same zip, and `manifest.json` says what each of them is.

The manifest stands last in the zip, because the digests are known then; a zip that ends before it is not whole. It
holds no time but those of the evidence, and nothing of the machine that made it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from forensics.facts import filetime_to_iso
from parsers.bytesource import ByteSource
from parsers.errors import StopcodeError
from stopcode import __version__
from stopcode.rescue.artefacts import Artefact, NotFound
from stopcode.rescue.document import MANIFEST_SCHEMA, LeftOut, Manifest, PackedFile
from stopcode.rescue.names import archive_name
from stopcode.rescue.reading import CHUNK, Unreadable, chunks
from stopcode.rescue.redact import MAX_TEXT, Redactor
from stopcode.rescue.writing import NotWrittenError, new_file, refuse_to_fill

__all__ = ["MANIFEST", "write_archive"]

MANIFEST = "manifest.json"
#: Zips know no time before this one; the times of the evidence stand in the manifest.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write_archive(
    path: Path,
    artefacts: Sequence[Artefact],
    missing: Sequence[NotFound],
    *,
    redactor: Redactor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Write the files and the manifest into a new zip, read it again, and return the manifest.

    A file that cannot be opened or, with a redactor, cannot be cleaned is left out and listed.

    Raises:
        NotWrittenError: the name is taken, there is no room, or the zip reads back as something else.
        OSError: the host cannot write it.

    """
    total = sum(artefact.entry.size for artefact in artefacts)
    refuse_to_fill(path.parent, total)
    writer = _Writer(redactor)
    done = 0
    with new_file(path) as (out, partial):
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
            for artefact in artefacts:
                writer.add(made, artefact)
                done += artefact.entry.size
                if progress is not None:
                    progress(done, total)
            manifest = writer.manifest(missing)
            made.writestr(_member(MANIFEST), json.dumps(manifest, indent=1) + "\n")
        out.flush()
        _read_again(partial, manifest)
    return manifest


class _Writer:
    """Takes one file after another."""

    def __init__(self, redactor: Redactor | None) -> None:
        self._redactor = redactor
        self._taken = {MANIFEST.casefold()}
        self._files: list[PackedFile] = []
        self._left_out: list[LeftOut] = []

    def add(self, made: zipfile.ZipFile, artefact: Artefact) -> None:
        """Put a file into the zip."""
        try:
            opened = artefact.files.open(artefact.entry.path)
        except StopcodeError as error:
            self._leave_out(artefact, error.message)
            return
        try:
            if self._redactor is None:
                self._copy(made, artefact, opened)
            else:
                self._clean(made, artefact, opened, self._redactor)
        finally:
            close = getattr(opened, "close", None)
            if close is not None:
                close()

    def _copy(self, made: zipfile.ZipFile, artefact: Artefact, opened: ByteSource) -> None:
        unreadable = Unreadable()
        digest = hashlib.sha256()
        name = archive_name(artefact.volume, artefact.entry.path, self._taken)
        with made.open(_member(name), "w", force_zip64=opened.size >= 1 << 31) as member:
            for data in chunks(opened, unreadable):
                digest.update(data)
                member.write(data)
        self._note(name, artefact.path, artefact, opened.size, digest.hexdigest(), unreadable)

    def _clean(self, made: zipfile.ZipFile, artefact: Artefact, opened: ByteSource, redactor: Redactor) -> None:
        unreadable = Unreadable()
        try:
            if opened.size > MAX_TEXT:
                raise StopcodeError(f"it is larger than {MAX_TEXT >> 20} MiB")
            data, count = redactor.data(b"".join(chunks(opened, unreadable)))
        except StopcodeError as error:
            self._leave_out(artefact, f"not redacted: {error.message}")
            return
        name = archive_name(artefact.volume, redactor.text(artefact.entry.path)[0], self._taken)
        made.writestr(_member(name), data)
        path = redactor.text(artefact.path)[0]
        noted = self._note(name, path, artefact, len(data), hashlib.sha256(data).hexdigest(), unreadable)
        noted["replaced"] = count

    def _note(
        self, name: str, path: str, artefact: Artefact, size: int, sha256: str, unreadable: Unreadable
    ) -> PackedFile:
        noted: PackedFile = {"name": name, "path": path, "size": size, "sha256": sha256}
        modified = filetime_to_iso(artefact.entry.modified)
        if modified is not None:
            noted["modified"] = modified
        if unreadable:
            noted["unreadable"] = {
                "bytes": unreadable.bytes,
                "reason": unreadable.reason,
                "ranges": [list(pair) for pair in unreadable.ranges],
            }
        self._files.append(noted)
        return noted

    def _leave_out(self, artefact: Artefact, reason: str) -> None:
        shown = artefact.path if self._redactor is None else self._redactor.text(artefact.path)[0]
        told = reason if self._redactor is None else self._redactor.text(reason)[0]
        self._left_out.append({"path": shown, "reason": told})

    def manifest(self, missing: Sequence[NotFound]) -> Manifest:
        """Return what the zip holds."""
        made: Manifest = {
            "schema": MANIFEST_SCHEMA,
            "tool": {"name": "stopcode", "version": __version__},
            "redacted": self._redactor is not None,
            "files": self._files,
            "left_out": self._left_out,
            "not_found": [{"pattern": item.pattern, "reason": item.reason} for item in missing],
        }
        if self._redactor is not None:
            made["names_too_short"] = self._redactor.kept
            made["not_found"] = [
                {"pattern": self._redactor.text(item["pattern"])[0], "reason": self._redactor.text(item["reason"])[0]}
                for item in made["not_found"]
            ]
        return made


def _member(name: str) -> zipfile.ZipInfo:
    """Return an entry that tells nothing of this machine and this moment."""
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.external_attr = 0o100600 << 16
    return info


def _read_again(path: Path, manifest: Manifest) -> None:
    """Hold every member against the manifest.

    Raises:
        NotWrittenError: one gives other bytes.

    """
    with zipfile.ZipFile(path) as made:
        for noted in manifest["files"]:
            digest = hashlib.sha256()
            try:
                with made.open(noted["name"]) as member:
                    while data := member.read(CHUNK):
                        digest.update(data)
            except zipfile.BadZipFile:
                digest = hashlib.sha256(b"bad")
            if digest.hexdigest() != noted["sha256"]:
                raise NotWrittenError(
                    f"the zip gives other bytes of {noted['name']} than were written to it: its medium is bad",
                    hint="name a folder on another disk with --to",
                )
