"""A report by hand: small, with every kind of row, and one whose every string is hostile."""

from __future__ import annotations

import copy
from typing import Any

from forensics.facts import empty_facts

HOSTILE = "\x1b]0;owned\x07[/red]\u202e\x9b41m<b>"

REPORT: dict[str, Any] = {
    "schema": "stopcode/report/1",
    "tool": {"name": "stopcode", "version": "0.1.0", "rules": 1},
    "source": {"path": "disk.vhdx", "kind": "VHDX", "size": 100},
    "verdict": {
        "sentence": "SRV1 crashed in vmstorfl.sys: a known regression.",
        "state": "crashed",
        "lines": [],
    },
    "facts": {
        **empty_facts(),
        "system": {
            "hostname": "SRV1",
            "product": "Windows Server 2019 Datacenter",
            "version": "10.0.17763.1757",
            "update_kb": "KB4601345",
            "update_date": "2021-02-09",
            "disk_as_of": "2021-03-02T10:00:00Z",
        },
        "boot": {"last_boot": "2021-03-02T09:59:00Z"},
        "drivers": [{"file": "vmstorfl.sys"}],
        "crashes": [
            {
                "dump": {"path": "\\Windows\\MEMORY.DMP", "kind": "bitmap-kernel", "complete": True},
                "bugcheck": {
                    "code": "0x7e",
                    "code_raw": "0x7e",
                    "name": "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
                    "parameters": [{"value": "0xffffffffc0000005", "meaning": "exception code"}],
                },
                "time": "2021-03-02T09:59:30Z",
                "uptime_s": 21.5,
                "latest": True,
                "process": "System",
                "culprit": {
                    "kind": "driver",
                    "module": "vmstorfl.sys",
                    "confidence": "high",
                    "because": ["P2 lies in vmstorfl.sys+0x1234"],
                    "against": [],
                    "others": [],
                },
                "stack": [
                    {
                        "ip": "0x1",
                        "sp": "0x2",
                        "module": "vmstorfl.sys",
                        "offset": "0x1234",
                        "method": "context",
                        "confidence": "exact",
                    }
                ],
                "gaps": [],
            }
        ],
        "gaps": [{"path": "/storage", "reason": "not collected"}],
    },
    "findings": [
        {
            "rule": "vmstorfl",
            "title": "Failover to Azure stops in Wdf01000.sys",
            "summary": "The file is too old.",
            "state": "crashed",
            "severity": "critical",
            "family": "storage",
            "kind": "regression",
            "status": "stable",
            "targets": ["azure"],
            "triggers": ["failover"],
            "evidence": [
                {
                    "statement": "vmstorfl.sys is 10.0.17763.771",
                    "value": "10.0.17763.771",
                    "expected": "below 10.0.17763.1911",
                    "path": "/drivers/vmstorfl.sys/version",
                    "source": {"kind": "file", "path": "\\Windows\\System32\\drivers\\vmstorfl.sys", "offset": 4660},
                }
            ],
            "against": [],
            "missing": [{"path": "/system/role", "reason": "not read"}],
            "remediation": [
                {
                    "do": "Install KB5003171",
                    "kind": "vendor-fix",
                    "applies": "yes",
                    "commands": ["dism /Image:E:\\ /Add-Package"],
                    "risk": "keep the original disk",
                }
            ],
            "references": [{"title": "A report", "url": "https://example.invalid/"}],
            "explain": "The mechanism.",
        }
    ],
    "unjudged": [{"rule": "other", "reason": "SOFTWARE hive unreadable"}],
    "diagnostics": [
        {"severity": "warning", "code": "hive.dirty", "message": "SYSTEM is dirty", "hint": "", "source": "SYSTEM"}
    ],
    "stats": {"bytes_read": 4_200_000, "requests": 10},
}


def hostile() -> dict[str, Any]:
    """The same report with every text replaced by a hostile one (keys and states stay)."""

    def spoil(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: spoil(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [spoil(item, key) for item in value]
        if isinstance(value, str) and key not in {"state", "severity", "schema"}:
            return HOSTILE
        return value

    spoiled: dict[str, Any] = spoil(copy.deepcopy(REPORT))
    return spoiled
