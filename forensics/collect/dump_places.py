r"""Where dumps lie: every place on the disk that may hold one, found without reading more than a first block of it.

* `MEMORY.DMP` and `Minidump` in the Windows folder, and where CrashControl puts them instead;
* `LiveKernelReports` with its folders, and where CrashControl puts them instead: live reports, which Windows wrote
  without stopping;
* the queues of error reporting (`ProgramData\Microsoft\Windows\WER`), where copies of both wait;
* **carriers**, which begin with a dump and go on after it: the page files (a crashed machine writes its dump over the
  beginning of one), `DUMPxxxx.tmp` (the session manager renames such a page file at the next boot, until the dump is
  copied out of it), and `DedicatedDumpFile`.

Page files and DUMPxxxx.tmp are looked for on every volume of the image. Source: Microsoft KB 886429 (SMSS examines the
head of the page file, truncates and renames it), KB 254649 (CrashControl), Windows Internals 6, chapter 14 (WER).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from forensics.collect.machine import Machine
from forensics.collect.volume import FileEntry, FileTree
from forensics.facts import Facts, Where, path_of
from parsers.bytesource import ByteSource, BytesSource, WindowSource
from parsers.dump import looks_like_dump
from parsers.dump.header import parse_header
from parsers.dump.kinds import KIND_NAMES
from parsers.dump.space import dump_space
from parsers.errors import NotCollectedError, StopcodeError
from parsers.limits import MAX_DUMP_PLACES

__all__ = ["CARRIERS", "DumpPlace", "PageFile", "Places", "find_places"]

#: Places that begin with a dump and go on after it.
CARRIERS: frozenset[Where] = frozenset({"pagefile", "dump-tmp", "dedicated"})
#: The order in which dumps are looked at where there are too many: first what a whole machine left, last live reports.
_RANK: dict[Where, int] = {
    "memory-dmp": 0, "pagefile": 0, "dump-tmp": 0, "dedicated": 0, "minidump": 1, "live-kernel": 2, "wer": 3,
}  # fmt: skip
_TEMPORARY = re.compile(r"dump[0-9a-f]{1,4}\.tmp", re.IGNORECASE)
_SIZES = re.compile(r"\s+\d+(\s+\d+)?\s*$")
#: Bytes of the longer of the two headers.
_HEADER = 0x2000
_WER = r"\ProgramData\Microsoft\Windows\WER"


@dataclass(frozen=True, slots=True)
class DumpPlace:
    r"""One place with a dump, or a file that is named like one.

    Attributes:
        path: what documents call it: a path on the Windows volume, or with another volume's drive (`D:\\pagefile.sys`).
        where: which kind of place.
        size: bytes of the file; a carrier's dump may be shorter.
        modified: FILETIME of the file's last change; of a carrier it tells nothing of the dump.
        files: its volume's files.
        inner: its path there.

    """

    path: str
    where: Where
    size: int
    modified: int
    files: FileTree
    inner: str

    @contextmanager
    def reading(self) -> Iterator[tuple[ByteSource, bool]]:
        """Give the dump's bytes in place, and whether all that its header speaks of are there.

        Raises:
            StopcodeError: it cannot be opened; of a carrier: no dump begins there.

        """
        opened = self.files.open(self.inner)
        try:
            if self.where not in CARRIERS:
                yield opened, True
                return
            length, whole = dump_space(opened)
            yield WindowSource(opened, 0, length), whole
        finally:
            # A file of the host is a handle; a stretch of a disk is none.
            close = getattr(opened, "close", None)
            if close is not None:
                close()


@dataclass(frozen=True, slots=True)
class PageFile:
    """A page file that the registry names, or that lies in the root of a volume.

    Attributes:
        path: what documents call it; as the registry has it where its volume is not in the image.
        size: bytes; None when it is not there.
        in_image: whether its volume is in the image.
        temporary: whether its volume is the temporary disk of a cloud machine, by its label or its warning file.
        named: whether PagingFiles or ExistingPageFiles names it.

    """

    path: str
    size: int | None
    in_image: bool
    temporary: bool
    named: bool


@dataclass(slots=True)
class Places:
    """What was found.

    Attributes:
        dumps: the places of kernel dumps, those that matter most first, then the newest files first.
        page_files: the page files.
        dedicated: path and size of the dedicated dump file where it is there.
        dedicated_unknown: whether its place could not be looked at.
        process_dumps: paths of dumps of processes among the error reports, which tell nothing of the kernel.
        left_out: how many places are not in `dumps` because there are too many.

    """

    dumps: list[DumpPlace] = field(default_factory=list)
    page_files: list[PageFile] = field(default_factory=list)
    dedicated: tuple[str, int] | None = None
    dedicated_unknown: bool = False
    process_dumps: list[str] = field(default_factory=list)
    left_out: int = 0


def find_places(machine: Machine, facts: Facts) -> Places:
    """Look at every place; what cannot be looked at becomes a gap of `/crashes`."""
    return _Search(machine, facts).run()


class _Search:
    """One look over the volumes."""

    def __init__(self, machine: Machine, facts: Facts) -> None:
        self._machine = machine
        self._facts = facts
        self._own = machine.windows.files
        self._found: dict[tuple[int, str], DumpPlace] = {}
        self._places = Places()

    def run(self) -> Places:
        root, settings = self._machine.root, self._facts["crash_settings"]
        self._file("", self._own, f"{root}\\MEMORY.DMP", "memory-dmp")
        self._named(settings.get("dump_file"), "memory-dmp")
        self._dedicated(settings.get("dedicated_dump_file"))
        self._folder("", self._own, f"{root}\\Minidump", "minidump")
        self._folder_named(settings.get("minidump_dir"))
        self._live_reports("", self._own, f"{root}\\LiveKernelReports")
        elsewhere = self._located(settings.get("live_reports_dir"))
        if elsewhere is not None:
            self._live_reports(*elsewhere)
        wer = self._machine.windows.resolve(r"%ProgramData%\Microsoft\Windows\WER") or _WER
        for queue in ("ReportQueue", "ReportArchive"):
            self._glob("", self._own, f"{wer}\\{queue}", r"*\*.dmp", "wer")
        self._glob("", self._own, f"{wer}\\Temp", "*.dmp", "wer")
        self._page_files()
        self._glob("", self._own, root, "dump*.tmp", "dump-tmp")
        found = sorted(
            self._found.values(),
            key=lambda place: (_RANK.get(place.where, 9), -place.modified, place.path.lower()),
        )
        self._places.dumps = found[:MAX_DUMP_PLACES]
        self._places.left_out = len(found) - len(self._places.dumps)
        return self._places

    # -- files and folders --------------------------------------------------------------------------------------

    def _file(self, volume: str, files: FileTree, path: str, where: Where) -> FileEntry | None:
        """Take a file where it is there; return its entry."""
        try:
            stat = files.stat(path)
        except StopcodeError as error:
            self._gap(volume, path, error.message)
            return None
        if stat is None or stat.is_dir:
            return None
        self._take(volume, files, stat, where)
        return stat

    def _take(self, volume: str, files: FileTree, stat: FileEntry, where: Where) -> None:
        key = (id(files), stat.path.lower())
        if key in self._found or stat.is_dir or not self._is_wanted(volume, files, stat, where):
            return
        path = _named_on(volume, stat.path)
        self._found[key] = DumpPlace(path, where, stat.size, stat.modified, files, stat.path)

    def _is_wanted(self, volume: str, files: FileTree, stat: FileEntry, where: Where) -> bool:
        """Tell whether a file is to be read as a dump; where another content is normal its first bytes tell."""
        if where not in CARRIERS and where != "wer":
            return True
        if where == "dump-tmp" and _TEMPORARY.fullmatch(stat.name) is None:
            return False
        try:
            opened = files.open(stat.path)
            head = opened.read_at(0, 16)
            header = opened.read_at(0, _HEADER) if looks_like_dump(head) and where != "wer" else b""
        except StopcodeError as error:
            self._gap(volume, stat.path, error.message)
            return False
        close = getattr(opened, "close", None)
        if close is not None:
            close()
        if where == "wer" and head[:4] == b"MDMP":
            self._places.process_dumps.append(_named_on(volume, stat.path))
        if where in CARRIERS and head.startswith(b"PAGEPAGE"):
            path = _named_on(volume, stat.path)
            self._machine.diagnostics.warning(
                "crashes.dump-unfinished",
                f"{path} begins with the pattern that Windows fills a dump's header with: a dump was begun there and "
                "never written",
                source=path,
            )
        return looks_like_dump(head) and (where == "wer" or self._is_sane(volume, stat, header))

    def _is_sane(self, volume: str, stat: FileEntry, data: bytes) -> bool:
        """Tell whether a header at the start of a carrier can be a dump's, and not what was left of one."""
        try:
            header = parse_header(BytesSource(data))
        except StopcodeError:
            header = None
        if (
            header is not None
            and header.machine != "unknown"
            and header.dump_type in KIND_NAMES
            and header.system_time
            and header.bug_check_code is not None
        ):
            return True
        path = _named_on(volume, stat.path)
        self._machine.diagnostics.info(
            "crashes.remains-of-dump",
            f"{path} begins with the mark of a dump, and no sound header is behind it: remains of an older dump",
            source=path,
        )
        return False

    def _folder(self, volume: str, files: FileTree, path: str, where: Where) -> None:
        damage: list[StopcodeError] = []
        try:
            listed = files.listdir(path, damage)
        except StopcodeError as error:
            self._gap(volume, path, f"the folder cannot be read: {error.message}")
            return
        self._damaged(volume, path, damage)
        for stat in listed:
            if stat.name.lower().endswith(".dmp"):
                self._take(volume, files, stat, where)

    def _glob(self, volume: str, files: FileTree, folder: str, pattern: str, where: Where) -> None:
        path = f"{folder}\\{pattern}" if folder else f"\\{pattern}"
        damage: list[StopcodeError] = []
        try:
            listed = files.glob(path, damage)
        except StopcodeError as error:
            self._gap(volume, path, error.message)
            return
        self._damaged(volume, path, damage)
        for stat in listed:
            self._take(volume, files, stat, where)

    def _live_reports(self, volume: str, files: FileTree, folder: str) -> None:
        for pattern in ("*.dmp", r"*\*.dmp", r"*\*\*.dmp"):
            self._glob(volume, files, folder, pattern, "live-kernel")

    def _damaged(self, volume: str, path: str, damage: list[StopcodeError]) -> None:
        for broken in damage:
            known = isinstance(broken, NotCollectedError)
            self._gap(volume, path, broken.message if known else f"the folder is damaged: {broken.message}")

    def _gap(self, volume: str, path: str, reason: str) -> None:
        self._machine.gap(self._facts, path_of("crashes", _named_on(volume, path)), reason)

    def _is_unknown(self, volume: str, path: str) -> bool:
        """Tell whether a place could not be looked at."""
        return self._machine.knows_gap(path_of("crashes", _named_on(volume, path)))

    # -- what CrashControl names --------------------------------------------------------------------------------

    def _locate(self, path: object) -> tuple[str, FileTree, str] | None:
        """Return the volume and the path there of a path in the registry; None when no volume here has it."""
        if not isinstance(path, str):
            return None
        inner = self._machine.windows.resolve(path)
        if inner is not None:
            return "", self._own, inner
        other = self._machine.windows.elsewhere(path)
        return (other[0].name, other[0].files, other[1]) if other is not None else None

    def _located(self, path: object) -> tuple[str, FileTree, str] | None:
        place = self._locate(path)
        if place is None and isinstance(path, str):
            self._machine.diagnostics.info(
                "crashes.other-volume",
                f"CrashControl puts dumps to {path}, which is not on a volume of this image: "
                "nothing was looked for there",
                hint="read a dump from that disk with `stopcode dump`",
            )
        return place

    def _named(self, path: object, where: Where) -> None:
        place = self._located(path)
        if place is not None:
            self._file(*place, where)

    def _dedicated(self, path: object) -> None:
        place = self._located(path)
        stat = self._file(*place, "dedicated") if place is not None else None
        if place is not None and stat is not None:
            self._places.dedicated = (_named_on(place[0], stat.path), stat.size)
        elif place is not None:
            self._places.dedicated_unknown = self._is_unknown(place[0], place[2])

    def _folder_named(self, path: object) -> None:
        place = self._located(path)
        if place is not None:
            self._folder(*place, "minidump")

    # -- page files ---------------------------------------------------------------------------------------------

    def _page_files(self) -> None:
        settings = self._facts["crash_settings"]
        looked: set[tuple[int, str]] = set()
        temporary = {"": False}
        for volume in self._machine.windows.others():
            temporary[volume.name] = volume.label.lower() == "temporary storage" or _is_temporary(volume.files)
        for name in (*settings.get("paging_files", []), *settings.get("existing_paging_files", [])):
            path = _SIZES.sub("", name)
            if path.startswith("?:"):
                continue
            place = self._locate(path)
            if place is None:
                drive = path.removeprefix("\\??\\")
                if not any(item.path.lower() == drive.lower() for item in self._places.page_files):
                    self._places.page_files.append(PageFile(drive, None, False, False, True))
            elif (id(place[1]), place[2].lower()) not in looked:
                looked.add((id(place[1]), place[2].lower()))
                self._page_file(*place, temporary=temporary[place[0]], named=True)
        roots = [("", self._own), *((volume.name, volume.files) for volume in self._machine.windows.others())]
        for volume_name, files in roots:
            if (id(files), "\\pagefile.sys") not in looked:
                self._page_file(volume_name, files, "\\pagefile.sys", temporary=temporary[volume_name], named=False)
            self._glob(volume_name, files, "", "dump*.tmp", "dump-tmp")

    def _page_file(self, volume: str, files: FileTree, path: str, *, temporary: bool, named: bool) -> None:
        stat = self._file(volume, files, path, "pagefile")
        if stat is not None or (named and not self._is_unknown(volume, path)):
            size = stat.size if stat is not None else None
            self._places.page_files.append(PageFile(_named_on(volume, path), size, True, temporary, named))


def _named_on(volume: str, path: str) -> str:
    """Return what documents call a path on a volume; the Windows volume has no name."""
    if not volume:
        return path
    return volume + path if volume.endswith(":") else f"{volume}:{path}"


def _is_temporary(files: FileTree) -> bool:
    """Tell whether a volume bears the warning that Azure puts on its temporary disks."""
    try:
        return files.stat("\\DATALOSS_WARNING_README.txt") is not None
    except StopcodeError:
        return False
