"""The family of sample machines: the same server at other points of one story, and two that stand beside it.

The story: the February 2021 update of Windows Server 2019 brings a fault that shows only when a machine comes up in
Azure after a failover; the update of May ends it. Hosts, domains and identifiers are made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from samples.machine import Hardware, Machine, Session, Stop, Update
from samples.times import at

__all__ = ["FAMILY", "Variant"]

Damage = Literal["none", "software"]


@dataclass(frozen=True)
class Variant:
    """One sample.

    Attributes:
        name: of the file, without suffix.
        story: one line for people.
        machine: the machine.
        dump: whether its crash left a dump on the disk.
        damage: "software": the SOFTWARE hive begins with zeros, and the SYSTEM hive is dirty without logs.
        disk_mib: size of the disk.

    """

    name: str
    story: str
    machine: Machine
    dump: bool = False
    damage: Damage = "none"
    disk_mib: int = 4096


_INSTALLED = at("2019-11-05T09:12:44")
_LAB = {17763: "17763.1.amd64fre.rs5_release.180914-1434", 14393: "14393.0.amd64fre.rs1_release.160715-1616"}
#: KB, build, revision and when this shop installs it: the Saturday night after the release.
_ROLLUPS = {
    "KB4592440": (17763, 1637, at("2020-12-12T21:31:10")),
    "KB4598230": (17763, 1697, at("2021-01-16T21:28:42")),
    "KB4601345": (17763, 1757, at("2021-02-13T21:33:05")),
    "KB5001384": (17763, 1911, at("2021-04-24T21:29:51")),
    "KB5003171": (17763, 1935, at("2021-05-15T21:35:17")),
    "KB4598243": (14393, 4169, at("2021-01-16T21:40:12")),
    "KB4601318": (14393, 4225, at("2021-02-13T21:44:58")),
}
#: Build -> product, release and the name that Windows Update gives it.
_PRODUCTS = {
    17763: ("Windows Server 2019 Datacenter", "1809", "Windows Server 2019 (1809)"),
    14393: ("Windows Server 2016 Datacenter", "1607", "Windows Server 2016"),
}
_FOUNDATION = (
    "Microsoft-Windows-Foundation-Package", "Microsoft-Windows-ServerDatacenterEdition",
    "Microsoft-Windows-ServerCore-Drivers-Package", "Microsoft-Windows-Server-Features-Package",
    "Microsoft-Windows-Server-Gui-Mgmt-Package", "Microsoft-Windows-NetFx4-OC-Package",
    "Windows-Defender-Server-Core-Group-Package", "Microsoft-Hyper-V-Guest-Package",
)  # fmt: skip
_TOKEN = "31bf3856ad364e35~amd64"


def _title(kb: str) -> str:
    build, _, moment = _ROLLUPS[kb]
    return f"{moment:%Y-%m} Cumulative Update for {_PRODUCTS[build][2]} for x64-based Systems ({kb})"


def _updates(kbs: Sequence[str], build: int) -> list[Update]:
    base = f"10.0.{build}.{1 if build == 17763 else 0}"
    found = [Update(f"{name}~{_TOKEN}~~{base}", 112, _INSTALLED) for name in _FOUNDATION]
    found.append(Update(f"Package_for_KB4486153~{_TOKEN}~~10.0.3.1", 112, _INSTALLED + timedelta(hours=2)))
    for number, kb in enumerate(kbs):
        _, ubr, moment = _ROLLUPS[kb]
        # Every rollup but the newest is superseded.
        state = 112 if number == len(kbs) - 1 else 80
        found.append(Update(f"Package_for_RollupFix~{_TOKEN}~~{build}.{ubr}.1.{7 + number}", state, moment, _title(kb)))
        stack = f"Package_for_ServicingStack_{ubr - 10}~{_TOKEN}~~{build}.{ubr - 10}.1.0"
        found.append(Update(stack, 112, moment - timedelta(minutes=11)))
    return found


def _sessions(kbs: Sequence[str], first_ubr: int, until: datetime) -> list[Session]:
    """One run of Windows from each update's restart to the next one's, the last one up to where the disk ends."""
    sessions = []
    ubr, start = first_ubr, _ROLLUPS[kbs[0]][2] - timedelta(days=27, minutes=8)
    for kb in kbs:
        _, next_ubr, moment = _ROLLUPS[kb]
        stopped = moment + timedelta(minutes=6, seconds=12)
        sessions.append(Session(start, stopped, ubr, installs=((moment, _title(kb)),)))
        ubr, start = next_ubr, stopped + timedelta(minutes=1, seconds=33)
    sessions.append(Session(start, until, ubr, clean=None))
    return sessions


def _server(host: str, kbs: Sequence[str], until: datetime) -> Machine:
    """Return a member server in its own house with these updates, the newest last; its disk ends at `until`."""
    build, ubr, _ = _ROLLUPS[kbs[-1]]
    sessions = _sessions(kbs, {17763: 1577, 14393: 4104}[build], until)
    product, release, _ = _PRODUCTS[build]
    return Machine(
        host=host,
        domain="corp.example",
        product=product,
        release=release,
        lab=_LAB[build],
        build=build,
        ubr=ubr,
        generation=1 if build == 17763 else 2,
        installed=_INSTALLED,
        updates=_updates(kbs, build),
        hardware=[_hardware(host, _INSTALLED, sessions[-1].start, azure=False)],
        sessions=sessions,
        shutdown=sessions[-2].end,
        touched=until,
        virtual_name=host.lower(),
    )


def _hardware(host: str, first: datetime, last: datetime, *, azure: bool) -> Hardware:
    """Return a virtual machine with an identifier of its own."""
    number = sum(map(ord, host))
    start = "a3d51e8f-7c0b-4d6e-9f21-5be0" if azure else "4c4c4544-0039-4710-8052-b4c0"
    return Hardware(f"{start}{number:08x}", first, last, azure)


def _in_azure(machine: Machine, *runs: Session) -> Machine:
    """Return a machine after a failover: cut off in its house without a shutdown, started in Azure."""
    *before, last = machine.sessions
    here = _hardware(machine.host, runs[0].start, runs[-1].start, azure=True)
    return replace(
        machine,
        sessions=[*before, replace(last, clean=False), *runs],
        hardware=[*machine.hardware, here],
        touched=runs[-1].end,
    )


_BEFORE = ("KB4592440", "KB4598230", "KB4601345")
#: When the host's replication cut the disk, when the machine started in Azure, and how long it lived there.
_CUT = at("2021-03-10T01:55:20")
_FAILOVER = at("2021-03-10T02:14:05.250000")
_LIVED = timedelta(seconds=21, microseconds=437500)


def _failed() -> Machine:
    machine = _server("WS2019-APP01", _BEFORE, _CUT)
    here = _hardware(machine.host, _FAILOVER, _FAILOVER, azure=True)
    # The run in Azure died before the log was written out: the log ends in the house, and only the hive and the dump
    # know of Azure.
    return replace(
        machine,
        hardware=[*machine.hardware, here],
        touched=_FAILOVER + timedelta(seconds=9),
        crash=(_FAILOVER, _LIVED),
    )


def _no_dump() -> Machine:
    """The log came through; the dump went with the temporary disk, where the page file is."""
    start = at("2021-03-18T19:02:31.500000")
    machine = _server("WS2019-FILE04", _BEFORE, start - timedelta(minutes=22))
    parameters = (0xFFFFFFFFC0000005, 0xFFFFF80D4A6A1009, 0xFFFFB30C8C52F670, 0xFFFFB30C8C52F040)
    died = Session(start, start + timedelta(seconds=20, milliseconds=312), 1757, False, Stop(0x7E, parameters))
    again = at("2021-03-18T19:05:12.250000")
    last = Session(again, again + timedelta(seconds=21), 1757, clean=None)
    return replace(_in_azure(machine, died, last), page_file="D:\\pagefile.sys", crash=None)


def _well_in_azure(host: str, kbs: Sequence[str], start: datetime, end: datetime) -> Machine:
    machine = _server(host, kbs, start - timedelta(minutes=17))
    return _in_azure(machine, Session(start, end, machine.ubr, clean=None))


FAMILY: tuple[Variant, ...] = (
    Variant(
        "ws2019-failed",
        "failed over to Azure, crashed 21.4 s after it began to boot; MEMORY.DMP on the disk",
        _failed(),
        dump=True,
        disk_mib=8192,
    ),
    Variant(
        "ws2019-exposed",
        "has the February update, was never failed over, runs well",
        _server("WS2019-APP02", _BEFORE, at("2021-03-11T22:40:03")),
    ),
    Variant(
        "ws2019-fixed",
        "has the May update; failed over to Azure and runs there",
        _well_in_azure("WS2019-APP03", (*_BEFORE, "KB5003171"), at("2021-05-26T18:31:44"), at("2021-05-27T06:12:09")),
    ),
    Variant(
        "ws2019-january",
        "stayed at the January update, with the same old driver; failed over to Azure and runs there",
        _well_in_azure("WS2019-SQL01", _BEFORE[:2], at("2021-02-08T20:15:30"), at("2021-02-09T05:55:41")),
    ),
    Variant(
        "ws2019-preview",
        "has the April preview, whose driver is the new one",
        _server("WS2019-WEB01", (*_BEFORE, "KB5001384"), at("2021-05-04T21:08:57")),
    ),
    Variant(
        "ws2016",
        "Windows Server 2016 at its February update, generation 2: another branch",
        _server("WS2016-PRT02", ("KB4598243", "KB4601318"), at("2021-03-11T23:01:18")),
    ),
    Variant(
        "ws2019-hive-damaged",
        "as ws2019-exposed, but its SOFTWARE hive cannot be read and its SYSTEM hive was not closed",
        _server("WS2019-APP05", _BEFORE, at("2021-03-12T22:17:36")),
        damage="software",
    ),
    Variant(
        "ws2019-no-dump",
        "failed over to Azure and crashed; the event log tells, the dump is gone",
        _no_dump(),
    ),
)
