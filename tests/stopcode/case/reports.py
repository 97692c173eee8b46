"""Small reports to keep."""

from __future__ import annotations

from typing import Any

from stopcode.case import Collected

AS_OF = Collected("stamp", "0.1.0", "digest", "{}")


def report_of(hostname: str, *findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "schema": "stopcode/report/1",
        "source": {"path": f"{hostname}.vhdx", "kind": "VHDX", "size": 1 << 40, "parents": [{"path": "base.vhdx"}]},
        "verdict": {"state": findings[0]["state"] if findings else "clear", "sentence": f"{hostname}.", "lines": []},
        "facts": {
            "system": {"hostname": hostname, "build": 17763, "ubr": 1757, "version": "10.0.17763.1757"},
            "crashes": [
                {"bugcheck": {"code": "0x1a"}, "culprit": {"kind": "unknown", "module": None}, "latest": False},
                {"bugcheck": {"code": "0x7e"}, "culprit": {"kind": "driver", "module": "x.sys"}, "latest": True},
            ],
        },
        "findings": list(findings),
        "diagnostics": [{"severity": "info", "code": "hive.dirty", "message": "m", "hint": "h", "source": "s"}],
        "stats": {"bytes_read": 7, "requests": 3, "wall_s": 1.5, "cpu_s": 0.25},
        **more,
    }


def finding_of(rule: str, state: str, **more: str) -> dict[str, Any]:
    return {"rule": rule, "title": f"About {rule}", "state": state, "severity": "high", "status": "stable", **more}
