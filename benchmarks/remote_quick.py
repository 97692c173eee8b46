"""The quick answer about a disk at an address, as a process of its own: `python -m benchmarks.remote_quick ADDRESS`.

Build and UBR, the services, and the versions of the drivers that start at boot, by the same collectors as a scan; no
verb stops there, so this calls the library. It prints what it found as JSON.
"""

from __future__ import annotations

import json
import sys
from functools import partial

from forensics.collect import Machine, collect
from forensics.collect.drivers import driver_path
from forensics.collect.pe_facts import read_pe
from forensics.collect.services import DRIVER_TYPES
from forensics.disk import open_image
from forensics.facts import Wants
from parsers.diagnostics import Diagnostics
from parsers.errors import StopcodeError


def _version(machine: Machine, path: str) -> str | None:
    try:
        return read_pe(machine.windows.files.open(path)).version
    except StopcodeError:
        return None


def main(address: str) -> None:
    """Read it and print it."""
    diagnostics = Diagnostics()
    with open_image(address, diagnostics) as image:
        machine = Machine(image.windows, Wants(), diagnostics)
        facts = collect(machine, only=frozenset({"system", "services"}))
        boot = [one for one in facts["services"] if one.get("start") == "boot" and one.get("type") in DRIVER_TYPES]
        paths = [path for one in boot if (path := driver_path(machine, one)) is not None]
        machine.windows.ahead([partial(_version, machine, path) for path in paths])
        versions = {path: _version(machine, path) for path in paths}
        found = {"build": facts["system"].get("build"), "ubr": facts["system"].get("ubr")}
        print(json.dumps({**found, "services": len(facts["services"]), "versions": versions}))


if __name__ == "__main__":
    main(sys.argv[1])
