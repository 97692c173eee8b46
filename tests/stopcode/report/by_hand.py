"""Facts and findings by hand, for what is said of them: small, and only what the words need."""

from __future__ import annotations

import copy
from typing import Any

from forensics.facts import empty_facts


def facts(**sections: Any) -> dict[str, Any]:
    """A document in which everything was read; sections replace the empty ones."""
    made: dict[str, Any] = {**empty_facts()}
    made.update(copy.deepcopy(sections))
    return made


SYSTEM = {
    "hostname": "SRV1",
    "product": "Windows Server 2019 Datacenter",
    "version": "10.0.17763.1757",
    "build": 17763,
    "ubr": 1757,
    "installation": "server",
    "disk_as_of": "2021-03-02T09:59:30.25Z",
}


def crash(**fields: Any) -> dict[str, Any]:
    """The crash of the flagship: nt, Wdf01000, vmstorfl."""
    made: dict[str, Any] = {
        "item": "\\Windows\\MEMORY.DMP",
        "dump": {"path": "\\Windows\\MEMORY.DMP", "kind": "bitmap-kernel", "size": 12_000_000, "complete": True},
        "bugcheck": {
            "code": "0x7e",
            "code_raw": "0x7e",
            "name": "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
            "parameters": [{"value": "0xffffffffc0000005", "meaning": "exception code"}] * 4,
        },
        "time": "2021-03-02T09:59:30.25Z",
        "uptime_s": 21.4,
        "latest": True,
        "build": 17763,
        "stack": [
            {"ip": "0x1", "sp": "0x1", "module": "nt", "offset": "0x10", "method": "trap", "confidence": "exact"},
            {"ip": "0x2", "sp": "0x2", "module": "Wdf01000.sys", "offset": "0x20", "method": "exact",
             "confidence": "exact"},
            {"ip": "0x3", "sp": "0x3", "module": "vmstorfl.sys", "offset": "0x30", "method": "exact",
             "confidence": "exact", "image": "disk"},
        ],
        "modules": [
            {"name": "vmstorfl.sys", "base": "0x1", "size": 4096, "on_disk": "same", "version": "10.0.17763.771"}
        ],
        "culprit": {
            "kind": "driver",
            "module": "vmstorfl.sys",
            "confidence": "high",
            "because": ["parameter 2 lies in vmstorfl.sys+0x30"],
            "against": [],
            "others": [],
        },
        "gaps": [],
        "source": {"kind": "dump", "path": "\\Windows\\MEMORY.DMP"},
    }  # fmt: skip
    made.update(copy.deepcopy(fields))
    return made


def finding(**fields: Any) -> dict[str, Any]:
    """What the flagship rule says."""
    made: dict[str, Any] = {
        "rule": "vmstorfl",
        "title": "Failover to Azure stops in Wdf01000.sys: vmstorfl.sys is older than the system needs",
        "summary": "It does.",
        "family": "storage",
        "kind": "regression",
        "status": "stable",
        "severity": "critical",
        "state": "exposed",
        "evidence": [
            {
                "statement": "vmstorfl.sys is below 10.0.17763.1911",
                "value": "10.0.17763.771",
                "path": "/drivers/vmstorfl.sys/version",
                "source": {"kind": "file", "path": "\\Windows\\System32\\drivers\\vmstorfl.sys", "offset": 4660},
            }
        ],
        "against": [],
        "missing": [],
        "remediation": [
            {"do": "Install KB5003171", "kind": "vendor-fix", "applies": "yes", "kb": "KB5003171"},
            {
                "do": "On the failed disk: attach a copy and add the update offline",
                "kind": "offline",
                "applies": "if",
                "condition": "the update is not there",
                "commands": ["dism /Image:E:\\ /Add-Package /PackagePath:" + "x" * 90],
                "risk": "keep the original",
            },
        ],
        "references": [{"id": "a", "title": "A report", "url": "https://example.invalid/"}],
        "explain": "The mechanism.",
        "targets": ["azure-site-recovery"],
        "triggers": ["failover"],
    }
    made.update(copy.deepcopy(fields))
    return made


def report(**fields: Any) -> dict[str, Any]:
    """A whole report around them."""
    made: dict[str, Any] = {
        "schema": "stopcode/report/1",
        "tool": {"name": "stopcode", "version": "0.1.0", "rules": 1, "rules_digest": "ab"},
        "source": {"path": "disk.vhdx", "kind": "VHDX", "size": 40 << 30},
        "verdict": {"state": "crashed", "sentence": "SRV1 crashed.", "lines": ["First: Install KB5003171"]},
        "facts": facts(system=SYSTEM, crashes=[crash()]),
        "findings": [finding(state="crashed", crash={"item": "\\Windows\\MEMORY.DMP"})],
        "unjudged": [],
        "diagnostics": [],
        "stats": {"bytes_read": 1, "requests": 1, "wall_s": 0.1, "cpu_s": 0.1},
    }
    made.update(copy.deepcopy(fields))
    return made
