"""What an image is, for people: the container and its chain, the partitions, the volumes, each Windows, the remarks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stopcode.report.disk import DiskDocument
from stopcode.report.full import diagnostic_lines
from stopcode.report.lines import Line, Tone, aligned, heading
from stopcode.report.words import byte_size, count_of, moment

__all__ = ["disk_lines"]

#: Stretches that are listed one by one.
_LISTED = 10
_STATES = (
    ("stored", "in the file"),
    ("mixed", "in blocks shared with the parent"),
    ("parent", "in the parent"),
    ("zero", "zeros that are not stored"),
    ("lost", "lost"),
)


def disk_lines(document: DiskDocument, *, verbose: bool = False) -> Iterator[Line]:
    """Yield the lines of one image."""
    first = document["container"]
    yield Line(f"{first['path']}: {_kind(first)}, {_bytes(first['virtual_size'])}", "strong")
    yield from _layer(first)
    for number, layer in enumerate(document["chain"], 1):
        yield from heading(f"Parent {number}: {layer['path']}")
        if layer["kind"] == "missing":
            yield Line("not found: what it holds cannot be read", "bad", 2)
        else:
            yield Line(f"{_kind(layer)}, {_bytes(layer['virtual_size'])}", indent=2)
        yield from _layer(layer)
    yield from _partitions(document)
    yield from _volumes(document, verbose)
    yield from _windows(document)
    yield from _content(document, verbose)
    remarks = [item for item in document["diagnostics"] if verbose or item["severity"] != "info"]
    if remarks:
        yield from heading("Remarks")
        for remark in remarks:
            yield from diagnostic_lines(remark)


def _bytes(number: int) -> str:
    rounded = byte_size(number)
    return f"{number:,} bytes" if rounded.endswith("bytes") or not rounded else f"{rounded} ({number:,} bytes)"


def _kind(layer: Mapping[str, Any]) -> str:
    return f"{layer['kind']} {layer['subtype']}" if layer.get("subtype") else str(layer["kind"])


def _layer(layer: Mapping[str, Any]) -> Iterator[Line]:
    sectors = f"{layer['sector_size']:,} bytes" if "sector_size" in layer else ""
    if "physical_sector_size" in layer:
        sectors += f", {layer['physical_sector_size']:,} physical"
    parts = layer.get("parts") or layer.get("segments")
    rows = [
        ("File", _bytes(layer["file_size"]) + (f" in {parts} parts" if parts else "") if "file_size" in layer else ""),
        ("Creator", layer.get("creator", "")),
        ("Created", moment(layer["created"]) if "created" in layer else ""),
        ("Version", str(layer.get("version", ""))),
        ("Sectors", sectors),
        ("Blocks", _blocks(layer)),
        ("Log", _log(layer.get("log"))),
        ("Bytes", _allocation(layer.get("allocation"))),
        ("Identity", layer.get("identity", "")),
        ("Disk", layer.get("disk_id", "")),
    ]
    yield from aligned([row for row in rows if row[1]], indent=2)


def _blocks(layer: Mapping[str, Any]) -> str:
    if "block_size" not in layer:
        return ""
    held = layer.get("allocation") or {}
    stored = f", {held['blocks_stored']:,} of {held['blocks']:,} in the file" if "blocks" in held else ""
    return f"{byte_size(layer['block_size'])} each{stored}"


def _log(log: Mapping[str, Any] | None) -> str:
    if log is None:
        return ""
    if log["state"] == "replayed":
        entries = f": {count_of(log['entries'], 'entry', 'entries')}" if "entries" in log else ""
        return f"not empty, replayed in memory{entries}"
    return {"clean": "clean", "dirty": "not empty, and it cannot be replayed"}.get(log["state"], str(log["state"]))


def _allocation(counted: Mapping[str, int] | None) -> str:
    if counted is None:
        return ""
    return ", ".join(f"{byte_size(counted[state])} {words}" for state, words in _STATES if counted[state])


def _partitions(document: DiskDocument) -> Iterator[Line]:
    if "partition_table" not in document:
        return
    table = document["partition_table"]
    if table is None:
        yield from heading("No partition table")
        return
    yield from heading(f"Partition table: {table['scheme'].upper()}, disk {table['disk_id']}")
    copies = table.get("copies")
    if copies is not None:
        yield Line(f"first copy {copies['first']}, second copy {copies['second']}", indent=2)
        if copies["before_end"]:
            before = _bytes(copies["before_end"])
            yield Line(f"the second copy lies {before} before the disk's end, as when a disk was enlarged", indent=2)
    yield from (Line(problem, "doubt", 2) for problem in table["problems"])
    rows = [("", "offset", "size", "type")]
    for item in table["partitions"]:
        what = [item.get("type_name") or item["type"], item.get("name", ""), "active" if item.get("active") else ""]
        rows.append(
            (str(item["number"]), f"{item['offset']:#x}", byte_size(item["size"]), ", ".join(filter(None, what)))
        )
    if len(rows) > 1:
        tones: list[Tone] = ["quiet"]
        yield from aligned(rows, indent=2, tones=tones)


def _volumes(document: DiskDocument, verbose: bool) -> Iterator[Line]:
    if not document["volumes"]:
        return
    yield from heading("Volumes")
    for volume in document["volumes"]:
        label = f' "{volume["label"]}"' if volume.get("label") else ""
        what = [f"{volume['filesystem']}{label}", byte_size(volume["size"])]
        what += [f"serial {volume['serial']}"] if verbose and volume.get("serial") else []
        what += {"windows": ["Windows"], "system": ["the firmware starts from it"]}.get(volume["role"], [])
        what += [f"journal {volume['journal']}"] if volume.get("journal") else []
        what += ["marked dirty"] if volume.get("dirty") else []
        yield Line(", ".join(what), indent=2, lead=f"{volume['index']}: ")
        if "dynamic" in volume:
            dynamic = volume["dynamic"]
            drive = f", {dynamic['drive']}" if "drive" in dynamic else ""
            on = ", ".join(dynamic["disks"])
            yield Line(f"dynamic volume {dynamic['name']}, {dynamic['kind']}{drive}, on {on}", indent=5)
        for copy in volume.get("shadow_copies", []):
            made = moment(copy["created"]) if "created" in copy else "an unknown time"
            read = ", read in place of the volume" if copy.get("id") == volume.get("shadow_copy", "") else ""
            problem = f", damaged: {copy['problem']}" if "problem" in copy else ""
            yield Line(f"shadow copy {copy.get('id', '')} of {made}{read}{problem}", "doubt" if problem else "plain", 5)
        encryption = volume.get("encryption")
        if encryption is not None:
            opened = encryption.get("opened_with")
            state = "locked" if encryption["locked"] else f"opened with {opened}" if opened else "open"
            keys = ", ".join(str(item["kind"]) for item in encryption["protectors"]) or "none"
            yield Line(
                f"{encryption['kind']}, {encryption['method']}, {encryption['state']}, {state}; protectors: {keys}",
                "doubt" if encryption["locked"] else "plain",
                5,
            )
        if volume.get("problem") and not (encryption is not None and encryption["locked"]):
            yield Line(volume["problem"], "bad", 5)


def _windows(document: DiskDocument) -> Iterator[Line]:
    for item in document["windows"]:
        yield from heading(f"Windows: {item['root']} on volume {item['volume']}")
        known = [item[key] for key in ("product", "version", "hostname") if key in item]
        yield Line(", ".join(known) or "its hives do not tell what it is", indent=2)
        yield from (Line(text, "doubt", 2) for text in item["lacks"])
        if item.get("hibernation") == "hibernated":
            yield Line("hibernated, or shut down with fast startup: the disk may be older than its memory", "doubt", 2)
        if len(document["windows"]) > 1:
            yield Line("a scan looks at this one" if item["chosen"] else "a scan does not look at this one", indent=2)


def _content(document: DiskDocument, verbose: bool) -> Iterator[Line]:
    content = document.get("content")
    lost = document.get("unreadable") if content is None else content.get("unreadable")
    if content is not None:
        yield from heading("Content")
        yield Line(content["sha256"], "verbatim", 2, "SHA-256: ")
        yield Line(f"of {content['bytes']:,} bytes, as a raw disk", indent=2)
    if not lost:
        return
    if content is None:
        yield from heading("Damage")
        yield Line(f"{_bytes(lost['bytes'])} are in no file: they cannot be read", "bad", 2)
    else:
        yield Line(
            f"{_bytes(lost['bytes'])} could not be read; zeros stand in their place, so this is not the digest of the "
            "whole disk", "bad", 2
        )  # fmt: skip
    listed = lost["ranges"] if verbose else lost["ranges"][:_LISTED]
    yield from (Line(f"{offset:#x}: {length:,} bytes", "quiet", 4) for offset, length in listed)
    if len(listed) < len(lost["ranges"]):
        yield Line(f"and {len(lost['ranges']) - len(listed)} more: -v lists them", "quiet", 4)
