"""System.evtx of a machine: what each of its runs of Windows wrote.

Providers, ids, versions and fields as real logs of Windows 10 and Server 2016 have them.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from samples.evtx import (
    BINARY,
    BOOLEAN,
    FILETIME,
    HEX64,
    STRING,
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    Element,
    Record,
    Slot,
    write_log,
)
from samples.machine import Machine, Session, Stop
from samples.times import filetime, systemtime

__all__ = ["system_log"]

_NAMESPACE = "http://schemas.microsoft.com/win/2004/08/events/event"
_Field = tuple[str, int, int | str | bytes]


@dataclass(frozen=True)
class _Provider:
    name: str
    guid: str = ""
    source: str = ""
    qualifiers: int | None = None


_KERNEL_GENERAL = _Provider("Microsoft-Windows-Kernel-General", "{A68CA8B7-004F-D7B6-A698-07E2DE0F1F5D}")
_KERNEL_BOOT = _Provider("Microsoft-Windows-Kernel-Boot", "{15CA44FF-4D7A-4BAA-BBA5-0998955E531E}")
_KERNEL_POWER = _Provider("Microsoft-Windows-Kernel-Power", "{331C3B3A-2005-44C2-AC5E-77220C37D6B4}")
_FILTERS = _Provider("Microsoft-Windows-FilterManager", "{F3C5E28E-63F6-49C7-A204-E48A1BC4B09D}")
_UPDATE = _Provider("Microsoft-Windows-WindowsUpdateClient", "{945A8954-C147-4ACD-923F-40C45405A658}")
_REPORT = _Provider(
    "Microsoft-Windows-WER-SystemErrorReporting", "{ABCE23E7-DE45-4366-8631-84FA6C525952}", "BugCheck", 16384
)
_USER32 = _Provider("User32", "{B0AA8734-56F7-41CC-B2F4-DE228E98B946}", "User32", 32768)


class _Log:
    """Collects records."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.records: list[Record] = []

    def put(
        self,
        time: datetime,
        provider: _Provider,
        event: int,
        fields: Sequence[_Field] = (),
        *,
        level: int = 4,
        version: int = 0,
        keywords: int = 0x8000000000000000,
        binary: bytes = b"",
    ) -> None:
        """Add an event; fields without a name are plain Data."""
        values: list[tuple[int, int | str | bytes]] = []

        def slot(kind: int, value: int | str | bytes) -> Slot:
            values.append((kind, value))
            return Slot(len(values) - 1, kind)

        name: list[tuple[str, str | Slot]] = [("Name", provider.name)]
        if provider.guid:
            name.append(("Guid", provider.guid))
        if provider.source:
            name.append(("EventSourceName", provider.source))
        number = Element("EventID", (), (slot(UINT16, event),))
        if provider.qualifiers is not None:
            number = Element("EventID", (("Qualifiers", slot(UINT16, provider.qualifiers)),), number.content)
        system = Element(
            "System",
            (),
            (
                Element("Provider", tuple(name)),
                number,
                Element("Version", (), (slot(UINT8, version),)),
                Element("Level", (), (slot(UINT8, level),)),
                Element("Task", (), (slot(UINT16, 0),)),
                Element("Opcode", (), (slot(UINT8, 0),)),
                Element("Keywords", (), (slot(HEX64, keywords),)),
                Element("TimeCreated", (("SystemTime", slot(FILETIME, filetime(time))),)),
                Element("EventRecordID", (), (slot(UINT64, len(self.records) + 1),)),
                Element("Correlation"),
                Element("Execution", (("ProcessID", slot(UINT32, 4)), ("ThreadID", slot(UINT32, 8)))),
                Element("Channel", (), ("System",)),
                Element("Computer", (), (slot(STRING, self.host),)),
                Element("Security"),
            ),
        )
        data = [
            Element("Data", (("Name", field),) if field else (), (slot(kind, value),)) for field, kind, value in fields
        ]
        if binary:
            data.append(Element("Binary", (), (slot(BINARY, binary),)))
        root = Element("Event", (("xmlns", _NAMESPACE),), (system, Element("EventData", (), tuple(data))))
        self.records.append(Record(filetime(time), root, values))


def _classic(qualifiers: int) -> _Provider:
    return _Provider("EventLog", qualifiers=qualifiers)


def _texts(*texts: str) -> list[_Field]:
    return [("", STRING, text) for text in texts]


def _local(time: datetime) -> datetime:
    """Return Central European time; the machines' hives say so."""
    return time + timedelta(hours=1)


def _boot(log: _Log, machine: Machine, session: Session, before: Session | None) -> None:
    start = session.start
    unclean = before is not None and before.clean is False
    stop = before.stop if before is not None else None
    kernel = start + timedelta(seconds=3.4)
    log.put(
        kernel,
        _KERNEL_GENERAL,
        12,
        [
            ("MajorVersion", UINT32, 10),
            ("MinorVersion", UINT32, 0),
            ("BuildVersion", UINT32, machine.build),
            ("QfeVersion", UINT32, session.ubr),
            ("ServiceVersion", UINT32, 0),
            ("BootMode", UINT32, 0),
            ("StartTime", FILETIME, filetime(start)),
        ],
        keywords=0x8000000000000080,
    )
    good: list[_Field] = [("LastShutdownGood", BOOLEAN, int(not unclean)), ("LastBootGood", BOOLEAN, 1)]
    log.put(kernel + timedelta(seconds=0.1), _KERNEL_BOOT, 20, good)
    log.put(kernel + timedelta(seconds=0.1), _KERNEL_BOOT, 27, [("BootType", UINT32, 0)])
    for name in ("FileInfo", "Wof", "WdFilter", "luafv"):
        fields: list[_Field] = [
            ("FinalStatus", UINT32, 0),
            ("DeviceVersionMajor", UINT16, 10),
            ("DeviceVersionMinor", UINT16, 0),
            ("DeviceNameLength", UINT16, len(name)),
            ("DeviceName", STRING, name),
            ("DeviceTime", FILETIME, filetime(machine.installed)),
        ]
        log.put(kernel + timedelta(seconds=0.4), _FILTERS, 6, fields)
    if unclean:
        _unexpected(log, kernel + timedelta(seconds=1.9), stop)
    service = start + timedelta(seconds=12.2)
    log.put(service, _classic(32768), 6009, _texts("10.00.", str(machine.build), "", "Multiprocessor Free", "0"))
    if unclean and before is not None:
        end = before.end
        moment = _local(end)
        # Windows writes the date for people, with marks of direction.
        date = f"\u200e{moment:%d}\u200e.\u200e{moment:%m}\u200e.\u200e{moment:%Y}"
        uptime = str(int((end - before.start).total_seconds()))
        texts = _texts(f"{moment:%H:%M:%S}", date, "", "", uptime, "", "")
        binary = systemtime(moment) + systemtime(end) + bytes(8)
        log.put(service, _classic(32768), 6008, texts, level=2, binary=binary)
    log.put(service, _classic(32768), 6005, binary=systemtime(service) + bytes(8))
    if stop is not None:
        _report(log, service + timedelta(seconds=8), machine, stop)


def _unexpected(log: _Log, time: datetime, stop: Stop | None) -> None:
    """Kernel-Power 41: the machine came up again without having been shut down."""
    code, parameters = (stop.code, stop.parameters) if stop is not None else (0, (0, 0, 0, 0))
    fields: list[_Field] = [("BugcheckCode", UINT32, code)]
    fields += [(f"BugcheckParameter{number}", HEX64, value) for number, value in enumerate(parameters, 1)]
    fields += [("SleepInProgress", UINT32, 0), ("PowerButtonTimestamp", UINT64, 0), ("BootAppStatus", UINT32, 0)]
    fields += [("Checkpoint", UINT8, 0), ("ConnectedStandbyInProgress", BOOLEAN, 0)]
    fields += [("SystemSleepTransitionsToOn", UINT32, 0), ("CsEntryScenarioInstanceId", UINT8, 0)]
    fields += [("BugcheckInfoFromEFI", BOOLEAN, 0), ("CheckpointStatus", UINT8, 0)]
    log.put(time, _KERNEL_POWER, 41, fields, level=1, version=6, keywords=0x8000400000000002)


def _report(log: _Log, time: datetime, machine: Machine, stop: Stop) -> None:
    numbers = ", ".join(f"0x{value:016x}" for value in stop.parameters)
    fields = [
        ("param1", STRING, f"0x{stop.code:08x} ({numbers})"),
        ("param2", STRING, "C:\\Windows\\MEMORY.DMP"),
        ("param3", STRING, str(uuid.uuid5(uuid.NAMESPACE_DNS, machine.host))),
    ]
    log.put(time, _REPORT, 1001, fields, level=2, keywords=0x80000000000000)


def _running(log: _Log, session: Session) -> None:
    """A sign of life every noon, and the updates that were installed, in the order of time."""
    happened: list[tuple[datetime, str, str]] = []
    noon = session.start.replace(hour=11, minute=0, second=0, microsecond=0)
    while noon < session.end:
        if noon > session.start:
            happened.append((noon, "", ""))
        noon += timedelta(days=1)
    for moment, title in session.installs:
        happened += [(moment - timedelta(minutes=9), "43", title), (moment, "19", title)]
    for moment, event, title in sorted(happened):
        if not event:
            uptime = str(int((moment - session.start).total_seconds()))
            log.put(moment, _classic(32768), 6013, _texts("", "", "", "", uptime, "60", "60 W. Europe Standard Time"))
            continue
        guid = uuid.uuid5(uuid.NAMESPACE_DNS, title)
        fields: list[_Field] = [("updateTitle", STRING, title), ("updateGuid", STRING, f"{{{guid}}}")]
        fields += [("updateRevisionNumber", UINT32, 200), ("serviceGuid", STRING, "{" + str(uuid.UUID(int=0)) + "}")]
        log.put(moment, _UPDATE, int(event), fields, version=1, keywords=0x8000000000000018)


def _shutdown(log: _Log, host: str, end: datetime) -> None:
    texts = (
        "C:\\Windows\\System32\\svchost.exe", host, "Operating System: Service pack (Planned)", "0x80020010", "restart",
        "", "NT AUTHORITY\\SYSTEM",
    )  # fmt: skip
    fields: list[_Field] = [(f"param{number}", STRING, text) for number, text in enumerate(texts, 1)]
    log.put(end - timedelta(seconds=21), _USER32, 1074, fields, keywords=0x8080000000000000)
    log.put(end - timedelta(seconds=4), _classic(32768), 6006, binary=struct.pack("<II", 1, 0))
    action: list[_Field] = [("ShutdownActionType", UINT32, 5), ("ShutdownEventCode", UINT32, 0)]
    action.append(("ShutdownReason", UINT32, 5))
    log.put(end - timedelta(seconds=2), _KERNEL_POWER, 109, action, version=1, keywords=0x8000000000000404)
    stop: list[_Field] = [("StopTime", FILETIME, filetime(end))]
    log.put(end, _KERNEL_GENERAL, 13, stop, keywords=0x8000000000000080)


def _pairs(sessions: Sequence[Session]) -> Iterator[tuple[Session | None, Session]]:
    before: Session | None = None
    for session in sessions:
        yield before, session
        before = session


def system_log(machine: Machine) -> bytes:
    """Return the log."""
    host = f"{machine.host}.{machine.domain}" if machine.domain else machine.host
    log = _Log(host)
    for before, session in _pairs(machine.sessions):
        _boot(log, machine, session, before)
        _running(log, session)
        if session.clean:
            _shutdown(log, machine.host, session.end)
    return write_log(log.records, dirty=machine.sessions[-1].clean is not True)
