"""`stopcode rescue`: list every dump on a disk, and take dumps and artefacts off it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from forensics.remote.address import is_address
from parsers.diagnostics import Diagnostics
from parsers.errors import StopcodeError
from stopcode.cli.arguments import add_output
from stopcode.cli.context import Context
from stopcode.cli.errors import UsageError, error_lines
from stopcode.cli.exits import Exit
from stopcode.cli.image_options import add_image_options, image_options, named_images, shown_image
from stopcode.cli.key_options import unlocking
from stopcode.cli.output import json_text, output_to, write_lines
from stopcode.cli.progress import PercentProgress

if TYPE_CHECKING:
    from forensics.collect.dump_list import DumpList, ListedDump
    from forensics.disk import Image
    from forensics.disk.keys import VolumeKeys
    from stopcode.report.lines import Line
    from stopcode.rescue.document import CopiedDump, DumpEntry, Rescue

SENTENCE = (
    "List every dump on a disk, also those inside page files; copy dumps out byte for byte, verified, and artefacts "
    "into a zip with their digests. Nothing is written to the disk, and nothing is ever written over."
)
EXAMPLES = (
    "stopcode rescue disk.vhdx",
    "stopcode rescue disk.vhdx --dump 1 --to out",
    "stopcode rescue disk.vhdx --support --to out",
)
CODES = (Exit.OK, Exit.USAGE, Exit.UNREADABLE, Exit.PARTIAL, Exit.INTERRUPTED)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("images", nargs="*", metavar="IMAGE",
                        help="a disk image or its address, or a folder with a Windows tree in it")  # fmt: skip
    group = parser.add_argument_group("what to take")
    group.add_argument("--dump", action="append", default=[], metavar="N|all",
                       help="copy a dump out, by its number in the list, or all; may be given again")  # fmt: skip
    group.add_argument("--files", action="append", default=[], metavar="PATTERN",
                       help="put files into a zip: * and ? within a name, ** for any folders; may be given again",
                       )  # fmt: skip
    group.add_argument("--support", action="store_true",
                       help="put what a support case needs into a zip: hives with logs, event logs, small dumps",
                       )  # fmt: skip
    group.add_argument("--redact", action="store_true",
                       help="take the machine's and its users' names out of the text files of the zip; what is no "
                            "text is left out")  # fmt: skip
    group.add_argument("--to", metavar="DIR", help="the folder to write into (default: the current one)")
    add_image_options(parser)
    add_output(parser, ("table", "json"))


def _opened(args: argparse.Namespace, keys: VolumeKeys, diagnostics: Diagnostics) -> Image:
    from forensics.disk import open_image

    # What was said before a key was asked for is no longer so.
    diagnostics.items.clear()
    return open_image(args.image, diagnostics, image_options(args, keys))


def run(args: argparse.Namespace, ctx: Context) -> int:
    """List, then take what was asked for."""
    images = named_images("rescue", args)
    if len(images) > 1:
        raise UsageError("rescue takes one image", hint="stopcode rescue --help")
    args.image = images[0]
    patterns: list[str] = list(args.files)
    if args.redact and args.dump:
        raise UsageError("a dump is memory: --redact cannot clean it", hint="take it without --redact, or not at all")
    if args.redact and not (patterns or args.support):
        raise UsageError("--redact needs --files or --support")
    takes = bool(args.dump or patterns or args.support)
    if args.to is not None and not takes:
        raise UsageError("--to needs --dump, --files or --support", hint="without them the dumps are listed")
    folder = _target(args.image, args.to) if takes else None

    from forensics.collect import Machine
    from forensics.collect.dump_list import list_dumps
    from forensics.facts import Wants
    from stopcode.rescue.document import RESCUE_SCHEMA

    diagnostics = Diagnostics()
    with (
        output_to(args.output, ctx, [] if is_address(args.image) else [args.image]) as to,
        unlocking(args, ctx, lambda keys: _opened(args, keys, diagnostics)) as image,
    ):
        found = list_dumps(Machine(image.windows, Wants(), diagnostics))
        document: Rescue = {
            "schema": RESCUE_SCHEMA,
            "source": image.describe(),
            "dumps": [_row(number, item) for number, item in enumerate(found.dumps, 1)],
            "process_dumps": found.places.process_dumps,
            "diagnostics": [item.to_dict() for item in diagnostics.items],
        }
        codes: list[int] = []
        copied: list[CopiedDump] = []
        try:
            if args.dump and folder is not None:
                document["copied"] = copied
                codes += _copy(found, _chosen(args.dump, len(found.dumps)), folder, ctx, copied)
            if (patterns or args.support) and folder is not None:
                codes.append(_pack(args, image, found, folder, ctx, document))
        except KeyboardInterrupt:
            # What was finished is kept and told.
            ctx.say("interrupted", error=True)
            codes = [Exit.INTERRUPTED]
        if args.format == "json":
            to.out.write(json_text(document))
        else:
            write_lines(_lines(document, verbose=to.verbosity > 0), to)
        to.out.flush()
    return max(codes, default=int(Exit.OK))


def _target(image: str, to: str | None) -> Path:
    """Return the folder to write into.

    Raises:
        UsageError: it lies in the evidence, or is the image's own folder and nobody said so.

    """
    folder = Path("." if to is None else to)
    given = Path(image)
    if not is_address(image) and given.exists():
        place, source = folder.resolve(), given.resolve()
        if source.is_dir() and (place == source or source in place.parents):
            raise UsageError(f"{folder} is in the image {image}, which is never written to", hint="name another folder")
        if to is None and place == source.parent:
            raise UsageError(
                "this folder is the image's own: nothing is put beside evidence unasked",
                hint="name a folder with --to; `--to .` means this one",
            )
    return folder


def _chosen(wanted: list[str], count: int) -> list[int]:
    """Return the numbers that were asked for, each once.

    Raises:
        UsageError: there is no such dump.

    """
    numbers: list[int] = []
    for text in wanted:
        if text == "all":
            numbers += range(1, count + 1)
        elif text.isdecimal() and 1 <= int(text[:9]) <= count:
            numbers.append(int(text[:9]))
        else:
            there = f"there are {count}" if count else "there is none"
            raise UsageError(f"--dump {text}: no such dump, {there}", hint="`stopcode rescue IMAGE` lists them")
    return list(dict.fromkeys(numbers))


def _row(number: int, item: ListedDump) -> DumpEntry:
    """Return one dump as the document has it."""
    row: dict[str, Any] = {"n": number, "path": item.place.path, "where": item.place.where}
    if item.crash is None:
        return cast("DumpEntry", {**row, "size": item.place.size, "problem": item.problem})
    crash = cast("dict[str, Any]", item.crash)
    for key in ("size", "kind", "complete", "copy_of", "archive"):
        if key in crash["dump"]:
            row[key] = crash["dump"][key]
    row |= {key: crash[key] for key in ("time", "build", "live", "latest", "latest_because") if key in crash}
    row["code"] = crash["bugcheck"]["code"]
    row["name"] = crash["bugcheck"]["name"]
    return cast("DumpEntry", row)


def _names(found: DumpList) -> list[str]:
    """Return a file's name for every dump, the same whichever of them are taken."""
    from stopcode.rescue.names import file_name, unique

    taken: set[str] = set()
    names = []
    for item in found.dumps:
        name = item.place.inner.rpartition("\\")[2]
        if item.place.where in ("pagefile", "dump-tmp", "dedicated"):
            name += ".dmp"
        names.append(unique(file_name(name), taken))
    return names


def _copy(found: DumpList, numbers: list[int], folder: Path, ctx: Context, copied: list[CopiedDump]) -> Iterator[int]:
    """Copy dumps out, one after another; one that fails does not stop the others."""
    from stopcode.rescue.writing import copy_out

    folder.mkdir(parents=True, exist_ok=True)
    names = _names(found)
    for number in numbers:
        item = found.dumps[number - 1]
        name = names[number - 1]
        try:
            with (
                item.place.reading() as (opened, whole),
                PercentProgress(ctx, f"copying {item.place.path} to {name}") as progress,
            ):
                done = copy_out(opened, folder / name, progress)
        except (StopcodeError, OSError) as error:
            told = error if isinstance(error, StopcodeError) else StopcodeError(error.strerror or str(error))
            for line in error_lines(told, item.place.path):
                ctx.say(line, error=True)
            copied.append({"n": number, "path": item.place.path, "problem": told.message})
            yield Exit.PARTIAL if len(numbers) > 1 else Exit.UNREADABLE
            continue
        row: CopiedDump = {
            "n": number,
            "path": item.place.path,
            "to": str(done.path),
            "size": done.size,
            "sha256": done.sha256,
        }
        if done.unreadable:
            row["unreadable"] = {
                "bytes": done.unreadable.bytes,
                "reason": done.unreadable.reason,
                "ranges": [list(pair) for pair in done.unreadable.ranges],
            }
        copied.append(row)
        cut = item.crash is not None and not item.crash["dump"].get("complete", True)
        yield Exit.PARTIAL if done.unreadable or cut or not whole else Exit.OK


def _pack(args: argparse.Namespace, image: Image, found: DumpList, folder: Path, ctx: Context, document: Rescue) -> int:
    """Put artefacts into a zip."""
    from stopcode.rescue.archive import write_archive
    from stopcode.rescue.artefacts import SUPPORT, expand
    from stopcode.rescue.names import file_name
    from stopcode.rescue.redact import Redactor, user_names

    patterns: list[str] = args.files
    artefacts, missing = expand(image.windows, [*patterns, *(SUPPORT if args.support else ())])
    # Nobody asked for a file of the set by its name: a machine without it is none to speak of.
    missing = [item for item in missing if item.pattern in patterns or not item.absent]
    redactor = None
    if args.redact:
        unknown = [gap["path"] for gap in found.facts["gaps"] if gap["path"] in _NEEDED_NAMES]
        if unknown:
            raise StopcodeError(
                f"the machine's names cannot be read ({', '.join(unknown)}), so nothing can be cleaned of them",
                hint="without --redact the files are taken as they are",
            )
        redactor = Redactor.of(found.facts, user_names(image.windows.files))
    stem = "redacted" if args.redact else file_name(Path(shown_image(args.image)).resolve().stem or "image")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"rescue-{stem}.zip"
    with PercentProgress(ctx, f"copying {len(artefacts)} files to {path.name}") as progress:
        manifest = write_archive(path, artefacts, missing, redactor=redactor, progress=progress)
    document["archive"] = {"to": str(path), **manifest}
    damaged = any("unreadable" in item for item in manifest["files"])
    lost = [item for item in manifest["left_out"] if not item["reason"].startswith("not redacted")]
    return Exit.PARTIAL if damaged or lost or manifest["not_found"] else Exit.OK


#: Without these nobody can say which names are to be taken out.
_NEEDED_NAMES = ("/system", "/system/hostname", "/system/domain")


def _lines(document: Rescue, *, verbose: bool) -> Iterator[Line]:
    from stopcode.report.rescue import rescue_lines

    yield from rescue_lines(document, verbose=verbose)
