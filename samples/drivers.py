"""Build driver files with mingw-w64: real PE files with code, exports, unwind data and a version resource.

The same name, version and source give the same bytes: the image base is fixed, the file is linked under its own name
(the linker puts it in the export directory), and the time stamp is a hash of what was built, as in the reproducible
builds of Windows 10.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pefile

__all__ = ["Driver", "build", "build_all", "symbols"]

_SOURCE = Path(__file__).with_name("source")
_PREFIX = "x86_64-w64-mingw32-"
_FLAGS = ["-O1", "-ffreestanding", "-fno-builtin", "-fno-optimize-sibling-calls", "-fno-tree-loop-distribute-patterns"]
_FLAGS += ["-fno-ident", "-mno-red-zone", "-Wall", "-Wextra", "-Werror", "-Wno-unused-but-set-variable"]
_RESOURCE = """1 VERSIONINFO
FILEVERSION {commas}
PRODUCTVERSION {commas}
FILEFLAGSMASK 0x3F
FILEFLAGS 0
FILEOS 0x40004
FILETYPE {type}
FILESUBTYPE {subtype}
BEGIN
  BLOCK "StringFileInfo"
  BEGIN
    BLOCK "040904B0"
    BEGIN
      VALUE "CompanyName", "{company}"
      VALUE "FileDescription", "{description}"
      VALUE "FileVersion", "{text}"
      VALUE "InternalName", "{name}"
      VALUE "LegalCopyright", "Made by stopcode's sample builder. Holds no code of the company named."
      VALUE "OriginalFilename", "{name}"
      VALUE "ProductName", "{product}"
      VALUE "ProductVersion", "{version}"
    END
  END
  BLOCK "VarFileInfo"
  BEGIN
    VALUE "Translation", 0x409, 1200
  END
END
"""


@dataclass(frozen=True)
class Driver:
    """One file to build.

    Attributes:
        name: file name, with its own case.
        version: four parts.
        company: as in the version resource.
        description: the same.
        source: name of the source in `source/`, without suffix.
        replace: (text, with what) in the source.

    """

    name: str
    version: str
    company: str = "Microsoft Corporation"
    description: str = ""
    source: str = "driver"
    replace: tuple[tuple[str, str], ...] = field(default=())

    @property
    def timestamp(self) -> int:
        """TimeDateStamp: a hash, as reproducible builds have it."""
        return zlib.crc32(f"{self.name} {self.version}".encode()) | 0x40000000

    def key(self) -> str:
        """Return a name for the cache of built files: the same for the same build."""
        text = repr(self) + "".join(path.read_text() for path in sorted(_SOURCE.iterdir())) + _RESOURCE + repr(_FLAGS)
        return hashlib.sha256(text.encode()).hexdigest()[:20]


def _run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _resource(driver: Driver, folder: Path) -> Path:
    native = driver.name.lower().endswith((".sys", ".exe"))
    microsoft = driver.company.startswith("Microsoft")
    text = _RESOURCE.format(
        commas=driver.version.replace(".", ","),
        version=driver.version,
        text=f"{driver.version} (WinBuild.160101.0800)" if microsoft else driver.version,
        company=driver.company,
        description=driver.description or f"{driver.name.rpartition('.')[0]} driver",
        name=driver.name,
        product="Microsoft® Windows® Operating System" if microsoft else f"{driver.company} driver",
        type="0x3" if driver.name.lower().endswith(".sys") else "0x1" if native else "0x2",
        subtype="0x7" if driver.name.lower().endswith(".sys") else "0x0",
    )
    script = folder / "version.rc"
    script.write_text(text, encoding="utf-8")
    target = folder / "version.o"
    _run(f"{_PREFIX}windres", "-c", "65001", script, "-o", target)
    return target


def _link(driver: Driver, folder: Path, *more: str) -> Path:
    """Compile and link; the file holds symbols unless an option takes them out."""
    text = (_SOURCE / f"{driver.source}.c").read_text()
    for old, new in driver.replace:
        text = text.replace(old, new)
    source = folder / "source.c"
    source.write_text(text)
    target = folder / driver.name
    entry = "KiSystemStartup" if driver.source == "ntoskrnl" else "DriverEntry"
    base = "0x140000000" if driver.source == "ntoskrnl" else "0x1C0000000"
    options = [*more, "-shared", "-nostdlib", f"-I{_SOURCE}", *_FLAGS, "-Wl,--subsystem,native", f"-Wl,--entry,{entry}"]
    options += [f"-Wl,--image-base,{base}", "-Wl,--no-insert-timestamp", "-Wl,--major-os-version,10"]
    _run(f"{_PREFIX}gcc", *options, "-o", target, source, _resource(driver, folder))
    return target


def _finish(path: Path, driver: Driver) -> None:
    """Set the time stamp and the checksum."""
    image = pefile.PE(data=path.read_bytes(), fast_load=True)
    image.FILE_HEADER.TimeDateStamp = driver.timestamp
    image.OPTIONAL_HEADER.CheckSum = image.generate_checksum()
    path.write_bytes(bytes(image.write()))


def build(driver: Driver, target: Path, cache: Path | None = None) -> None:
    """Build one file to `target`.

    Raises:
        RuntimeError: a tool is missing or fails.

    """
    kept = cache / f"{driver.key()}-{driver.name}" if cache is not None else None
    if kept is None or not kept.exists():
        with tempfile.TemporaryDirectory() as name:
            path = _link(driver, Path(name), "-s")
            _finish(path, driver)
            if kept is None:
                shutil.copyfile(path, target)
                return
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_suffix(".partial")
            shutil.copyfile(path, partial)
            partial.replace(kept)
    shutil.copyfile(kept, target)


def build_all(drivers: dict[Path, Driver], cache: Path | None = None) -> None:
    """Build several files, two at a time."""
    for path in drivers:
        path.parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(build, driver, path, cache) for path, driver in drivers.items()]:
            done.result()


def symbols(driver: Driver) -> dict[str, int]:
    """Return the RVA of every symbol of a driver, static ones included, from a build with symbols."""
    with tempfile.TemporaryDirectory() as name:
        path = _link(driver, Path(name))
        base = pefile.PE(data=path.read_bytes(), fast_load=True).OPTIONAL_HEADER.ImageBase
        listed = _run(f"{_PREFIX}nm", path)
    found = (line.split() for line in listed.splitlines())
    return {parts[2]: int(parts[0], 16) - base for parts in found if len(parts) == 3 and int(parts[0], 16) > base}
