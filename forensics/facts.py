"""The facts document: everything read from one machine, as one plain document, with no judgement in it.

Collectors write it, rules read it, every face shows it, tests compare it. It is plain data (objects, lists,
strings, integers, booleans, null): times are UTC ISO 8601 with `Z`, versions are four-part strings, addresses and
64-bit values are lower-case hex strings with `0x`, sizes and counts are integers.

Three rules hold everywhere:

* an item that came from the evidence carries its `source` (or `sources`, a map from field to source);
* what could not be read stands in `gaps`, addressed by path; `null` alone never means "could not be read";
* the same disk gives the same document, whatever the container: lists are sorted, nothing depends on the clock.

A path is `/section`, `/section/field` or, for lists, `/section/<name of the item>/field`; the item's name is
given by `ITEM_NAME`. A `/` inside a name is written `~1` and a `~` is written `~0`, as in JSON pointers.
A gap covers everything below its path.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NotRequired, TypedDict

__all__ = [
    "ITEM_NAME",
    "SCHEMA",
    "BootFacts",
    "BootRecord",
    "BugCheckDict",
    "CrashDict",
    "CrashSettings",
    "Culprit",
    "DriverFact",
    "DumpDict",
    "DynamicDict",
    "EncryptionDict",
    "EventFact",
    "Facts",
    "FileFact",
    "FilterFact",
    "FitDict",
    "FrameDict",
    "Gap",
    "ModuleDict",
    "ProtectorDict",
    "RegistryFact",
    "ServiceFact",
    "ShadowCopyDict",
    "Source",
    "SystemFacts",
    "UnloadedDict",
    "UpdateFact",
    "VolumeFact",
    "Wants",
    "add_gap",
    "empty_facts",
    "filetime_to_iso",
    "hex64",
    "path_of",
    "source",
]

SCHEMA = "stopcode/facts/1"

SourceKind = Literal["file", "key", "value", "record", "dump", "derived"]


class Source(TypedDict):
    r"""Where a fact came from, so that a reader can check it with another tool.

    `path` is a path on the volume (`\\Windows\\System32\\drivers\\x.sys`), a registry path
    (`SYSTEM\\ControlSet001\\Services\\x`), or a log; `detail` names the value, resource or record;
    `offset` is the byte offset in the file named by `path`, where one is known.
    """

    kind: SourceKind
    path: str
    detail: NotRequired[str]
    offset: NotRequired[int]


class Gap(TypedDict):
    """A place in the facts that could not be read, or was not collected, with the reason."""

    path: str
    reason: str


class SystemFacts(TypedDict, total=False):
    """/system: which machine this is. Each field's source stands in `sources` under its name."""

    hostname: str
    domain: str
    product: str
    edition: str
    display_version: str
    installation: Literal["client", "server", "server-core", "nano", "azure-local", "container-host", "other"]
    role: Literal["workstation", "member", "domain-controller"]
    arch: Literal["x64", "x86", "arm64"]
    build: int
    ubr: int
    version: str
    update_kb: str
    update_date: str
    update_kind: str
    control_set: int
    installed_at: str
    timezone: str
    last_shutdown: str
    manufacturer: str
    model: str
    cluster_member: bool
    disk_as_of: str
    sources: dict[str, Source]


class ServiceFact(TypedDict, total=False):
    """/services: one service key of the current control set. `start` is after StartOverride."""

    name: str
    display: str
    type: str
    start: Literal["boot", "system", "auto", "demand", "disabled"]
    start_raw: Literal["boot", "system", "auto", "demand", "disabled"]
    start_override: bool
    error_control: Literal["ignore", "normal", "severe", "critical"]
    image: str
    image_path: str
    group: str
    tag: int
    depends_on: list[str]
    account: str
    source: Source


class DriverFact(TypedDict, total=False):
    r"""/drivers: one driver file (a .sys under System32\\drivers, or any file a driver service names).

    `file` is the lower-case base name, `path` the path on the Windows volume. `missing` is true when a service
    names the file and it is not there. `timestamp` and `checksum` are the PE header's, hex.
    """

    file: str
    path: str
    service: str
    services: list[str]
    version: str
    product_version: str
    company: str
    description: str
    original_name: str
    machine: Literal["x64", "x86", "arm64", "other"]
    timestamp: str
    checksum: str
    size_of_image: int
    size: int
    modified: str
    start: str
    start_raw: str
    group: str
    missing: bool
    on_branch: bool
    source: Source


class FilterFact(TypedDict, total=False):
    """/filters: one class filter entry. `orphan` is true when no service or no file stands behind the name.

    The item's name in paths is `<class>:<side>:<name>`.
    """

    item: str
    class_name: str
    class_guid: str
    side: Literal["upper", "lower"]
    name: str
    position: int
    orphan: bool
    reason: str
    source: Source


class UpdateFact(TypedDict, total=False):
    """/updates: one servicing package, or the cumulative update that build.UBR stands for.

    `package` is the CBS identity; the derived entry of build.UBR has package `build <build>.<ubr>` and
    `cumulative` true.
    """

    package: str
    kb: str
    state: str
    state_code: int
    installed_at: str
    cumulative: bool
    pending_reboot: bool
    source: Source


class RegistryFact(TypedDict, total=False):
    r"""/registry: one value (or key) that a rule asked for. `key` uses `ControlSet` for the current set.

    The item's name in paths is `<HIVE>\\<key>` or `<HIVE>\\<key>:<value>`. `absent` is true when it was looked for
    and is not there.
    """

    item: str
    hive: str
    key: str
    value: str
    type: str
    data: int | str | list[str]
    absent: bool
    source: Source


class FileFact(TypedDict, total=False):
    """/files: one file that a rule asked for by path or glob; `absent` is true when nothing matched a glob."""

    path: str
    glob: str
    size: int
    modified: str
    version: str
    sha256: str
    first_bytes: str
    absent: bool
    source: Source


class EventFact(TypedDict, total=False):
    """/events: one event record. `data` maps the manifest's field names (or `0`, `1`, …) to text."""

    item: str
    log: str
    provider: str
    id: int
    level: str
    time: str
    record: int
    data: dict[str, str]
    source: Source


class BootRecord(TypedDict, total=False):
    """One boot as the event log tells it: Kernel-General 12 opens it."""

    started: str
    build: str
    ended: str
    end: Literal["shutdown", "bugcheck", "unexpected", "running"]
    source: Source


class BootFacts(TypedDict, total=False):
    """/boot: what the disk says of starting up.

    `bcd` is the state of the boot configuration store, `default_device` where its default entry's Windows partition is:
    "ok" the Windows that these facts are of, "other" another partition of the disk, "unknown" none of this disk,
    "missing" none named. `option` are the default entry's options as `name=value`, by bcdedit's names.
    `component_marks` are the marks of an unfinished transaction in the root of the hive COMPONENTS. `hibernation` is
    what hiberfil.sys says: "hibernated" (fast startup too), "resumed" (a resume was begun), "none".
    """

    firmware: Literal["bios", "uefi"]
    bcd: Literal["ok", "missing", "damaged"]
    default_device: Literal["ok", "other", "unknown", "missing"]
    option: list[str]
    safe_mode: bool
    recovery_sequence: bool
    hypervisor_launch: Literal["auto", "off"]
    hibernation: Literal["none", "hibernated", "resumed"]
    component_marks: list[str]
    last_boot: str
    boots: list[BootRecord]
    last_bugcheck: dict[str, Any]
    driver_missing: list[str]
    pending_operations: int
    pending_xml: bool
    sessions_pending: int
    reboot_pending: bool
    sources: dict[str, Source]


class CrashSettings(TypedDict, total=False):
    """/crash_settings: what Windows was told to do when it crashes (CrashControl and the page files).

    `existing_paging_files` are those of the last boot. `page_file_was_too_small` is when Windows last noted that a dump
    did not fit (LastCrashTime).
    """

    enabled: Literal["none", "complete", "active", "kernel", "small", "automatic", "other"]
    dump_file: str
    minidump_dir: str
    live_reports_dir: str
    dedicated_dump_file: str
    overwrite: bool
    auto_reboot: bool
    paging_files: list[str]
    existing_paging_files: list[str]
    dump_filters: list[str]
    always_keep: bool
    ignore_page_file_size: bool
    page_file_was_too_small: str
    sources: dict[str, Source]


class ProtectorDict(TypedDict):
    """One way to open an encrypted volume: `identifier` is its key's name in a directory, `file` its key file."""

    kind: str
    identifier: str
    file: NotRequired[str]


class EncryptionDict(TypedDict):
    """How a volume is encrypted; keys are never in it.

    `state` is "encrypted", "decrypted", "paused" or "converting" (encrypted in part), "partly encrypted" (piece by
    piece, with a map of what is) or "unknown". `identifier` is the GUID of the volume's metadata. `opened_with` names
    the protector; a "clear key" means that protection was suspended.
    """

    kind: Literal["BitLocker"]
    version: int
    method: str
    state: str
    identifier: str
    locked: bool
    protectors: list[ProtectorDict]
    opened_with: NotRequired[str]


class DynamicDict(TypedDict):
    """A volume of a dynamic disk (LDM): its name in the disk group, how it lies on which of the group's disks.

    `drive` is the drive letter that it had when the group's database was written last.
    """

    name: str
    kind: Literal["simple", "spanned", "striped", "mirrored", "raid5", "unknown"]
    disks: list[str]
    drive: NotRequired[str]


class ShadowCopyDict(TypedDict, total=False):
    """A shadow copy of a volume: its identifier and that of its set, when it was made, and by which machine.

    `problem` is what is damaged of it.
    """

    id: str
    set: str
    created: str
    machine: str
    problem: str


class VolumeFact(TypedDict, total=False):
    """/volumes: one volume of the image. `role` is what stopcode takes it for.

    `journal` is the state of an NTFS volume's journal: "replayed" in memory; "not replayed" where some of its changes
    are not certain, which leaves the files they touch unread; "unreadable" where the volume is read as it stands.
    `shadow_copies` are those it has, the oldest one first; `shadow_copy` is the identifier of the one that was read
    in place of the volume, as the user asked.
    """

    index: int
    offset: int
    size: int
    filesystem: str
    label: str
    serial: str
    role: Literal["windows", "system", "other"]
    dynamic: DynamicDict
    encryption: EncryptionDict
    journal: Literal["clean", "replayed", "not replayed", "unreadable"]
    shadow_copies: list[ShadowCopyDict]
    shadow_copy: str


class BugCheckDict(TypedDict):
    """The stop code: `code` masked ("0x7e"), `code_raw` as stored, parameters with their meanings.

    `case` is the documented case that the parameters select.
    """

    code: str
    code_raw: str
    name: str
    parameters: list[dict[str, str]]
    case: NotRequired[str]


#: In what kind of place a dump was found.
Where = Literal["memory-dmp", "minidump", "pagefile", "dump-tmp", "dedicated", "live-kernel", "wer", "file"]


class DumpDict(TypedDict, total=False):
    """The dump file: `kind` is the DumpType's word; `complete` is false when the file is cut.

    `archive` ("zip", "gz", "xz", "cab") and `member` tell where it was unpacked from; `size` is then the unpacked one.
    `size` of a dump inside a page file or a dedicated dump file is the dump's own. `copy_of` is the path of another
    dump of the disk that is of the same crash and kind: this one is what it was copied from, or a copy of it.
    `traits` are bits of `attributes` in words ("encrypted", "active", "live", "early boot" …).
    """

    path: str
    kind: str
    type: int
    size: int
    complete: bool
    archive: str
    member: str
    comment: str
    writer: str
    attributes: str
    traits: list[str]
    streams: list[dict[str, Any]]
    where: Where
    copy_of: str


class ModuleDict(TypedDict, total=False):
    """One loaded module. `on_disk` tells whether the disk's file of that name (`disk_path`) is this very build.

    `version` is that file's, and only there when it is the same build.
    """

    name: str
    path: str
    base: str
    size: int
    timestamp: str
    checksum: str
    version: str
    on_disk: Literal["same", "different", "missing", "unreadable", "not-checked"]
    disk_path: str


class UnloadedDict(TypedDict):
    """One entry of the kernel's table of unloaded drivers; names are cut at 12 characters in small dumps."""

    name: str
    start: str
    end: str
    time: NotRequired[str]


class FrameDict(TypedDict, total=False):
    """One frame of the stack; `method` and `confidence` are the labels of docs/crash.md.

    `symbol` is an export's name, or a symbol file's (`--symbols`), which also tells `line` ("driver.cpp:42") and the
    functions that stand `inlined` there, the innermost first. `unloaded` is the driver that was there before.
    """

    ip: str
    sp: str
    module: str | None
    offset: str
    unloaded: str
    symbol: str
    line: str
    inlined: list[str]
    method: str
    confidence: Literal["exact", "likely", "guess"]
    image: Literal["dump", "disk", "folder"]


class FitDict(TypedDict, total=False):
    """Whether the fault fits its instruction (x64): "contradicts" accuses the machine, "open" says nothing.

    `accesses` are the instruction's, `reported` is what the bug check or the exception record says of the access that
    failed. `agrees`, `doubts` and `misfits` are sentences a person can check.
    """

    verdict: Literal["fits", "contradicts", "open"]
    instruction: str
    code: str
    accesses: list[dict[str, Any]]
    reported: dict[str, Any]
    agrees: list[str]
    doubts: list[str]
    misfits: list[str]


class Culprit(TypedDict):
    """The verdict on one crash, with the reasons that a person can check."""

    kind: Literal["driver", "hardware", "manual", "boot", "process", "unknown"]
    module: str | None
    confidence: Literal["high", "medium", "low", "none"]
    because: list[str]
    against: list[str]
    others: list[str]


class CrashDict(TypedDict, total=False):
    """/crashes: one analysed dump. The item's name in paths is the dump's path.

    `live` is true for a live report (its place, header or code says so): Windows wrote it and ran on, so it is no crash
    and never the latest one. `foreign` is true for a dump in a page file, or in another place that any Windows may
    write to, that is of another build than the disk's Windows: it tells nothing of this one.
    `hardware` is the machine as the dump's secondary data tells it; `hardware["fingerprint"]` is the same for dumps of
    one machine and tells nothing of it. `thread` is the address of the current thread.
    `stack` begins at the fault where there is one, else at the bug check call; `bugcheck_stack` is the call's own stack
    as far as it is certain, where `stack` is another one. `gaps` are sentences: what the dump does not tell. `left_out`
    names the lists of an older crash that are not kept whole.
    """

    item: str
    dump: DumpDict
    bugcheck: BugCheckDict
    time: str
    uptime_s: float
    booted_at: str
    latest: bool
    latest_because: str
    live: bool
    foreign: bool
    os: dict[str, Any]
    build: int
    processors: int
    machine: str
    hardware: dict[str, Any]
    process: str
    thread: str
    context: dict[str, Any]
    stack: list[FrameDict]
    bugcheck_stack: list[FrameDict]
    modules: list[ModuleDict]
    module_count: int
    unloaded: list[UnloadedDict]
    culprit: Culprit
    fit: FitDict
    flipped_bits: list[dict[str, Any]]
    bucket: str
    hardware_error: dict[str, Any]
    left_out: list[str]
    gaps: list[str]
    source: Source


class Facts(TypedDict):
    """The whole document."""

    schema: str
    system: SystemFacts
    volumes: list[VolumeFact]
    drivers: list[DriverFact]
    services: list[ServiceFact]
    filters: list[FilterFact]
    updates: list[UpdateFact]
    registry: list[RegistryFact]
    files: list[FileFact]
    events: list[EventFact]
    boot: BootFacts
    crash_settings: CrashSettings
    crashes: list[CrashDict]
    storage: dict[str, Any]
    security: dict[str, Any]
    gaps: list[Gap]


#: Which field names an item of a list section, in paths.
ITEM_NAME: dict[str, str] = {
    "drivers": "file",
    "services": "name",
    "filters": "item",
    "updates": "package",
    "registry": "item",
    "files": "path",
    "events": "item",
    "crashes": "item",
}


@dataclass(slots=True)
class Wants:
    """What the loaded rules look at, so that collectors take just that.

    Attributes:
        files: globs of paths on the Windows volume; `%SystemRoot%` stands for the Windows folder.
        registry: (hive, key, value) triples; key paths use `ControlSet` for the current set, value "" means
            "does the key exist".
        events: (log, provider, event id) triples.
        filter_classes: device classes whose filters are read, by name or GUID; the storage classes always are.

    """

    files: set[str] = field(default_factory=set)
    registry: set[tuple[str, str, str]] = field(default_factory=set)
    events: set[tuple[str, str, int]] = field(default_factory=set)
    filter_classes: set[str] = field(default_factory=set)


def empty_facts() -> Facts:
    """Return a document in which everything was read and nothing was there."""
    return {
        "schema": SCHEMA,
        "system": {},
        "volumes": [],
        "drivers": [],
        "services": [],
        "filters": [],
        "updates": [],
        "registry": [],
        "files": [],
        "events": [],
        "boot": {},
        "crash_settings": {},
        "crashes": [],
        "storage": {},
        "security": {},
        "gaps": [],
    }


def path_of(*parts: str) -> str:
    """Join parts into a facts path, escaping `~` and `/` inside names."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def add_gap(facts: Facts, path: str, reason: str) -> None:
    """Note that a place could not be read; the first reason given for a path stays."""
    if not any(gap["path"] == path for gap in facts["gaps"]):
        facts["gaps"].append({"path": path, "reason": reason})


def source(kind: SourceKind, path: str, *, detail: str | None = None, offset: int | None = None) -> Source:
    """Make a source; fields that are not known are left out."""
    made: Source = {"kind": kind, "path": path}
    if detail is not None:
        made["detail"] = detail
    if offset is not None:
        made["offset"] = offset
    return made


def hex64(value: int) -> str:
    """Write an address or a 64-bit value as the document wants it."""
    return f"{value:#x}"


_FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


def filetime_to_iso(filetime: int) -> str | None:
    """Turn a FILETIME (100 ns since 1601-01-01 UTC) into ISO 8601 with microseconds, or None when it is no time."""
    if filetime <= 0:
        return None
    try:
        moment = _FILETIME_EPOCH + timedelta(microseconds=filetime // 10)
    except OverflowError:
        return None
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    if moment.microsecond:
        text += f".{moment.microsecond:06d}".rstrip("0")
    return text + "Z"
