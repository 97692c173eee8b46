"""The family of sample machines: the same server at other points of one story, and two that stand beside it.

The story: the February 2021 update of Windows Server 2019 brings a fault that shows only when a machine comes up in
Azure after a failover; the update of May ends it. Hosts, domains and identifiers are made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from samples.machine import Hardware, Machine, Session, Update
from samples.times import at

__all__ = ["FAMILY", "Variant"]

Damage = Literal["none", "software", "system"]


@dataclass(frozen=True)
class Variant:
    """One sample.

    Attributes:
        name: of the file, without suffix.
        story: one line for people.
        machine: the machine.
        dump: whether its crash left a dump on the disk.
        damage: which hive is damaged.
        disk_mib: size of the disk.

    """

    name: str
    story: str
    machine: Machine
    dump: bool = False
    damage: Damage = "none"
    disk_mib: int = 8192


_INSTALLED = at("2019-11-05T09:12:44")
_LAB = {17763: "17763.1.amd64fre.rs5_release.180914-1434", 14393: "14393.0.amd64fre.rs1_release.160715-1616"}
#: KB, revision and when this shop installs it: the Saturday night after the release.
_ROLLUPS = {
    "KB4586793": (1577, at("2020-11-14T21:30:00")),
    "KB4592440": (1637, at("2020-12-12T21:31:10")),
    "KB4598230": (1697, at("2021-01-16T21:28:42")),
    "KB4601345": (1757, at("2021-02-13T21:33:05")),
    "KB5001384": (1911, at("2021-04-24T21:29:51")),
    "KB5003171": (1935, at("2021-05-15T21:35:17")),
}
_FOUNDATION = (
    "Microsoft-Windows-Foundation-Package", "Microsoft-Windows-ServerDatacenterEdition",
    "Microsoft-Windows-ServerCore-Drivers-Package", "Microsoft-Windows-Server-Features-Package",
    "Microsoft-Windows-Server-Gui-Mgmt-Package", "Microsoft-Windows-NetFx4-OC-Package",
    "Windows-Defender-Server-Core-Group-Package", "Microsoft-Hyper-V-Guest-Package",
)  # fmt: skip
_TOKEN = "31bf3856ad364e35~amd64"


def _title(kb: str, month: datetime, build: int) -> str:
    product = {17763: "Windows Server 2019 (1809)", 14393: "Windows Server 2016"}[build]
    return f"{month:%Y-%m} Cumulative Update for {product} for x64-based Systems ({kb})"


def _updates(rollups: Sequence[tuple[str, int, datetime]], build: int, installed: datetime) -> list[Update]:
    base = f"10.0.{build}.{1 if build == 17763 else 0}"
    found = [Update(f"{name}~{_TOKEN}~~{base}", 112, installed) for name in _FOUNDATION]
    found.append(Update(f"Package_for_KB4486153~{_TOKEN}~~10.0.3.1", 112, installed + timedelta(hours=2)))
    for number, (kb, ubr, moment) in enumerate(rollups):
        newest = number == len(rollups) - 1
        name = f"Package_for_RollupFix~{_TOKEN}~~{build}.{ubr}.1.{7 + number}"
        found.append(Update(name, 112 if newest else 80, moment, _title(kb, moment, build)))
        stack = f"Package_for_ServicingStack_{ubr - 10}~{_TOKEN}~~{build}.{ubr - 10}.1.0"
        found.append(Update(stack, 112, moment - timedelta(minutes=11)))
    return found


def _sessions(
    rollups: Sequence[tuple[str, int, datetime]], build: int, first_ubr: int, until: datetime
) -> list[Session]:
    """One run of Windows from each update's restart to the next one's, the last one up to where the disk ends."""
    sessions = []
    ubr, start = first_ubr, rollups[0][2] - timedelta(days=27, minutes=8)
    for kb, next_ubr, moment in rollups:
        stopped = moment + timedelta(minutes=6, seconds=12)
        sessions.append(Session(start, stopped, ubr, installs=((moment, _title(kb, moment, build)),)))
        ubr, start = next_ubr, stopped + timedelta(minutes=1, seconds=33)
    sessions.append(Session(start, until, ubr, clean=None))
    return sessions


def _server(host: str, kbs: Sequence[str], until: datetime, **more: object) -> Machine:
    """Return a member server of build 17763 with these updates, the newest last."""
    rollups = [(kb, *_ROLLUPS[kb]) for kb in kbs]
    sessions = _sessions(rollups, 17763, 1577 if kbs[0] != "KB4586793" else 1518, until)
    values: dict[str, object] = {
        "host": host,
        "domain": "corp.example",
        "product": "Windows Server 2019 Datacenter",
        "release": "1809",
        "lab": _LAB[17763],
        "build": 17763,
        "ubr": rollups[-1][1],
        "generation": 1,
        "installed": _INSTALLED,
        "updates": _updates(rollups, 17763, _INSTALLED),
        "hardware": [_home(host, sessions[-1].start)],
        "sessions": sessions,
        "shutdown": sessions[-2].end,
        "touched": until,
        "virtual_name": host.lower(),
    }
    return Machine(**(values | more))  # type: ignore[arg-type]  # the values are named above, with Machine's own types


def _home(host: str, last: datetime) -> Hardware:
    number = sum(map(ord, host))
    return Hardware(f"4c4c4544-0039-4710-8052-b4c0{number:08x}", _INSTALLED, last)


def _azure(host: str, first: datetime) -> Hardware:
    number = sum(map(ord, host))
    return Hardware(f"a3d51e8f-7c0b-4d6e-9f21-5be0{number:08x}", first, first, azure=True)


_BEFORE = ("KB4592440", "KB4598230", "KB4601345")
#: When the host's replication cut the disk, and when the machine started in Azure.
_CUT = at("2021-03-10T01:55:20")
_FAILOVER = at("2021-03-10T02:14:05.250000")
_LIVED = timedelta(seconds=21, microseconds=437500)


def _failed() -> Machine:
    host = "WS2019-APP01"
    machine = _server(host, _BEFORE, _CUT)
    return _server(
        host,
        _BEFORE,
        _CUT,
        hardware=[machine.hardware[0], _azure(host, _FAILOVER)],
        touched=_FAILOVER + timedelta(seconds=9),
        crash=(_FAILOVER, _LIVED),
    )


FAMILY: tuple[Variant, ...] = (
    Variant(
        "ws2019-failed",
        "failed over to Azure, crashed 21 s after it began to boot; MEMORY.DMP on the disk",
        _failed(),
        dump=True,
    ),
)
