"""What one sample machine is: everything the builder needs to know of it, and nothing of how it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["Hardware", "Machine", "Session", "Stop", "Update"]


@dataclass(frozen=True)
class Update:
    """One cumulative update, or another package.

    Attributes:
        package: CBS identity.
        state: CurrentState.
        installed: when that state came.
        title: as Windows Update writes it, "" where it wrote nothing.

    """

    package: str
    state: int
    installed: datetime
    title: str = ""


@dataclass(frozen=True)
class Hardware:
    """A machine that the disk has started on.

    Attributes:
        uuid: SMBIOS system UUID.
        first: first start on it.
        last: last start on it.
        azure: whether it was a machine in Azure.

    """

    uuid: str
    first: datetime
    last: datetime
    azure: bool = False


@dataclass(frozen=True)
class Stop:
    """A bug check.

    Attributes:
        code: of the bug check.
        parameters: its four parameters.

    """

    code: int
    parameters: tuple[int, int, int, int]


@dataclass(frozen=True)
class Session:
    """One run of Windows that the event log knows.

    Attributes:
        start: of the kernel.
        end: last sign of life.
        ubr: revision that booted.
        clean: whether it ended by a shutdown; None: it ended where the disk ends.
        stop: the bug check that ended it.
        installs: KB number and title of updates that were installed in it, with their time.

    """

    start: datetime
    end: datetime
    ubr: int
    clean: bool | None = True
    stop: Stop | None = None
    installs: Sequence[tuple[datetime, str]] = ()


@dataclass(frozen=True)
class Machine:
    """One machine as its disk tells of it.

    Attributes:
        host: computer name.
        domain: DNS domain it is joined to, or "".
        product: ProductName.
        release: ReleaseId.
        lab: BuildLabEx.
        build: of Windows.
        ubr: its revision.
        generation: 1 (BIOS, MBR, IDE) or 2 (UEFI, GPT, SCSI).
        installed: when Windows was installed.
        updates: packages.
        hardware: machines it started on, the last one last.
        sessions: what System.evtx knows, oldest first.
        shutdown: last clean shutdown.
        touched: last change of the registry.
        virtual_name: of the virtual machine, as the host tells the guest.
        crash: start of the run whose crash the disk tells of, and how long it ran.
        page_file: as the settings name it; "?:" is any volume.

    """

    host: str
    domain: str
    product: str
    release: str
    lab: str
    build: int
    ubr: int
    generation: int
    installed: datetime
    updates: Sequence[Update]
    hardware: Sequence[Hardware]
    sessions: Sequence[Session]
    shutdown: datetime
    touched: datetime
    virtual_name: str
    crash: tuple[datetime, timedelta] | None = None
    page_file: str = "?:\\pagefile.sys"

    @property
    def version(self) -> str:
        """The build's four parts."""
        return f"10.0.{self.build}.{self.ubr}"
