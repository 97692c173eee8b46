"""Small Windows folders on the disk of the machine that runs the tests: hives and a driver, nothing else."""

from __future__ import annotations

from pathlib import Path

from samples.hive import Key, write_hive
from tests.forensics.world import CURRENT, SERVER_2019, STORFLT, pe_file

TIME = 132_590_880_000_000_000  # 2021-03-01


def _hive(keys: object, name: str) -> bytes:
    root = Key()
    assert isinstance(keys, dict)
    for path, values in keys.items():
        root.set(path, values)
    return write_hive(root, "ROOT", time=TIME, file_name=f"\\SystemRoot\\System32\\Config\\{name}")


def windows_folder(
    folder: Path,
    *,
    ubr: int = 1757,
    driver: tuple[int, int, int, int] = (10, 0, 17763, 771),
    hostname: str = "SRV1",
    zeroed: tuple[str, ...] = (),
) -> Path:
    """A Server 2019 with vmstorfl.sys; hives named in `zeroed` hold zeros alone."""
    system = {
        "Select": {"Current": 1, "Default": 1},
        **STORFLT,
        "ControlSet001\\Control\\Class": {},
        "ControlSet001\\Control\\ComputerName\\ComputerName": {"ComputerName": hostname},
    }
    software = {**SERVER_2019, CURRENT: {**SERVER_2019[CURRENT], "UBR": ubr}}  # type: ignore[dict-item]  # a map there
    config = folder / "Windows" / "System32" / "config"
    drivers = folder / "Windows" / "System32" / "drivers"
    for path in (config, drivers):
        path.mkdir(parents=True)
    for name, keys in (("SYSTEM", system), ("SOFTWARE", software)):
        data = _hive(keys, name)
        (config / name).write_bytes(bytes(len(data)) if name in zeroed else data)
    (drivers / "vmstorfl.sys").write_bytes(pe_file(driver))
    (folder / "Windows" / "System32" / "ntoskrnl.exe").write_bytes(pe_file((10, 0, 17763, 1757)))
    return folder
