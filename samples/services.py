r"""The services of a Windows Server 2019 as it is installed, and the files of its drivers.

`services.tsv`: name, type, start, error control, group, image path, tag, StartOverride on the first hardware, and
dependencies. The table follows the public SYSTEM hives of Windows 10 that other tools test with (names, starts and
groups are the same in the server), without what a server does not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Service", "company_and_version", "load"]


@dataclass(frozen=True)
class Service:
    """One service.

    Attributes:
        name: of its key.
        type: 1 and 2 are drivers.
        start: 0 boot to 4 disabled.
        error: ErrorControl.
        group: load order group, or "".
        image: ImagePath, or "".
        tag: in the group, or None.
        override: start type on the first hardware the machine knew, or None.
        depends: services it needs.

    """

    name: str
    type: int
    start: int
    error: int
    group: str
    image: str
    tag: int | None
    override: int | None
    depends: tuple[str, ...]

    @property
    def is_driver(self) -> bool:
        """Whether it is a kernel driver, a file system driver or a recogniser."""
        return self.type in (1, 2, 8)

    @property
    def file(self) -> str:
        """The driver's file, as a path below the Windows folder with `/`."""
        if not self.image:
            return f"System32/drivers/{self.name}.sys"
        path = self.image.replace("\\", "/")
        for prefix in ("/SystemRoot/", "%SystemRoot%/"):
            if path.lower().startswith(prefix.lower()):
                path = path[len(prefix) :]
        folder, _, name = path.rpartition("/")
        # One spelling of the folders: the files of the table's many spellings lie in the same place.
        parts = ["System32", *("drivers" if part.lower() == "drivers" else part for part in folder.split("/")[1:])]
        return "/".join([*parts, name])


def _number(text: str) -> int | None:
    return int(text) if text else None


def load() -> list[Service]:
    """Return the table."""
    services = []
    for line in Path(__file__).with_name("services.tsv").read_text(encoding="utf-8").splitlines():
        name, kind, start, error, group, image, tag, override, depends = line.split("\t")
        services.append(
            Service(
                name,
                int(kind),
                int(start),
                int(error),
                group,
                image,
                _number(tag),
                _number(override),
                tuple(filter(None, depends.split(","))),
            )
        )
    return services


#: Drivers of other makers that come with Windows: file -> (company, version).
_OTHERS = {
    "3ware.sys": ("LSI", "5.1.0.51"),
    "adp80xx.sys": ("PMC-Sierra", "1.3.0.10769"),
    "amdsata.sys": ("Advanced Micro Devices", "1.1.3.277"),
    "amdsbs.sys": ("AMD Technologies Inc.", "3.7.1540.43"),
    "amdxata.sys": ("Advanced Micro Devices", "1.1.3.277"),
    "arcsas.sys": ("PMC-Sierra, Inc.", "7.5.0.32048"),
    "bxvbda.sys": ("QLogic Corporation", "7.12.31.105"),
    "cht4sx64.sys": ("Chelsio Communications", "6.11.4.100"),
    "cht4vx64.sys": ("Chelsio Communications", "6.11.4.100"),
    "evbda.sys": ("QLogic Corporation", "7.13.65.105"),
    "hpsamd.sys": ("Hewlett-Packard Company", "8.0.4.0"),
    "iastoravc.sys": ("Intel Corporation", "15.44.0.1010"),
    "iastorv.sys": ("Intel Corporation", "8.6.2.1019"),
    "itsas35i.sys": ("Avago Technologies", "2.60.94.80"),
    "lsi_sas.sys": ("LSI Corporation", "1.34.3.83"),
    "lsi_sas2i.sys": ("LSI Corporation", "2.0.79.82"),
    "lsi_sas3i.sys": ("Avago Technologies", "2.51.26.83"),
    "lsi_sss.sys": ("LSI Corporation", "2.10.61.81"),
    "megasas.sys": ("Avago Technologies", "6.706.6.0"),
    "megasas2i.sys": ("Avago Technologies", "6.714.20.0"),
    "megasas35i.sys": ("Avago Technologies", "7.708.16.0"),
    "megasr.sys": ("LSI Corporation, Inc.", "15.2.2013.129"),
    "mvumis.sys": ("Marvell Semiconductor, Inc.", "1.0.5.1016"),
    "nvraid.sys": ("NVIDIA Corporation", "10.6.0.23"),
    "nvstor.sys": ("NVIDIA Corporation", "10.6.0.23"),
    "percsas2i.sys": ("Avago Technologies", "6.805.3.0"),
    "percsas3i.sys": ("Avago Technologies", "6.604.6.0"),
    "sisraid2.sys": ("Silicon Integrated Systems Corp.", "5.1.1039.2600"),
    "sisraid4.sys": ("Silicon Integrated Systems", "5.1.1039.3600"),
    "smartsamd.sys": ("Microsemi Corporation", "1.50.1.0"),
    "stexstor.sys": ("Promise Technology, Inc.", "5.1.0.10"),
}
#: Files that change with most cumulative updates of 17763; between these revisions they are taken to stay.
_OFTEN = frozenset(
    {"tcpip.sys", "ntfs.sys", "http.sys", "srv2.sys", "mrxsmb.sys", "afd.sys", "win32kfull.sys", "cng.sys"}
)
_STEPS = (1, 404, 529, 802, 1098, 1339, 1577, 1697, 1757, 1879, 1935)
#: vmstorfl.sys: the revision of Windows from which each file is there.
_VMSTORFL = ((1, 1), (774, 771), (1911, 1911))


def _at_most(steps: tuple[int, ...], ubr: int) -> int:
    return max((step for step in steps if step <= ubr), default=1)


def company_and_version(file: str, build: int, ubr: int) -> tuple[str, str]:
    """Return who made a system file and its version on a machine of that build and revision."""
    name = file.lower()
    if name in _OTHERS:
        return _OTHERS[name]
    if build == 14393:
        revision = {"ntoskrnl.exe": ubr, "vmstorfl.sys": 2007 if ubr >= 2007 else 0}.get(name, 0)
        major = "1.19" if name == "wdf01000.sys" else "10.0"
    else:
        major = "1.27" if name == "wdf01000.sys" else "10.0"
        revision = 1
        if name in ("ntoskrnl.exe", "ntdll.dll"):
            revision = ubr
        elif name == "vmstorfl.sys":
            revision = max(version for start, version in _VMSTORFL if start <= ubr)
        elif name in _OFTEN:
            revision = _at_most(_STEPS, ubr)
    return "Microsoft Corporation", f"{major}.{build}.{revision}"
