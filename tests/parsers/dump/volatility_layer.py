"""What volatility3's crash layers read of a dump, as JSON: run by its own interpreter, never imported.

    .venv-bench/bin/python tests/parsers/dump/volatility_layer.py DUMP 64|32 PAGE…

Prints the header's fields and the SHA-256 of each page asked for (null where it has none).
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any


def main(path: str, bits: str, pages: list[int]) -> int:
    """Open the dump with volatility3's layer and tell what it sees."""
    from volatility3.framework import contexts, exceptions
    from volatility3.framework.layers import crash, physical

    context = contexts.Context()
    context.config["file.location"] = Path(path).resolve().as_uri()
    context.add_layer(physical.FileLayer(context, "file", "file"))
    context.config["crash.base_layer"] = "file"
    kind = crash.WindowsCrashDump64Layer if bits == "64" else crash.WindowsCrashDump32Layer
    layer = kind(context, "crash", "crash")
    context.add_layer(layer)
    header = layer.get_header()
    told: dict[str, Any] = {
        name: int(getattr(header, name))
        for name in (
            "MinorVersion", "DirectoryTableBase", "PsLoadedModuleList", "MachineImageType", "NumberProcessors",
            "BugCheckCode", "KdDebuggerDataBlock", "DumpType",
        )
    }  # fmt: skip
    told["parameters"] = [int(value) for value in header.BugCheckCodeParameter]
    told["pages"] = {}
    for page in pages:
        try:
            told["pages"][page] = hashlib.sha256(layer.read(page * 0x1000, 0x1000)).hexdigest()
        except exceptions.InvalidAddressException:
            told["pages"][page] = None
    json.dump(told, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], [int(word) for word in sys.argv[3:]]))
