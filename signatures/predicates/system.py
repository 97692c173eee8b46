"""`os` and `system`: which Windows this is, and which machine. Both read `/system`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from signatures.conditions import OneOf
from signatures.kinds import BUILD, DATE_TIME, INTEGER, TEXT, enum_of
from signatures.model import FieldTest
from signatures.predicates.base import Field, FieldResult, flag
from signatures.predicates.family import Context, MapFamily
from signatures.three import Value
from signatures.verdict import EvidenceDict, MissingDict

__all__ = ["OS", "SYSTEM"]


def _level(item: Mapping[str, Any]) -> str | None:
    build, ubr = item.get("build"), item.get("ubr")
    return f"{build}.{ubr}" if build is not None and ubr is not None else None


@dataclass(frozen=True)
class _OperatingSystem(MapFamily):
    def subject(self, item: Mapping[str, Any]) -> str:
        return "Windows"

    def test_field(self, test: FieldTest, item: Mapping[str, Any], context: Context) -> FieldResult:
        if test.name == "in":
            verdict = context.affected()
            line = (*verdict.evidence, *verdict.against)
            return FieldResult(verdict.value, line[0] if line else None, verdict.missing)
        if test.name == "at":
            return self._at(test, item, context)
        if test.name == "branch":
            return self._branch(test, context)
        return super().test_field(test, item, context)

    def _at(self, test: FieldTest, item: Mapping[str, Any], context: Context) -> FieldResult:
        missing: list[MissingDict] = []
        for field in ("build", "ubr"):
            gap = context.world.gap("system", field)
            if gap is not None:
                missing.append(gap)
        if missing:
            return FieldResult(Value.UNKNOWN, missing=tuple(missing))
        return super().test_field(test, item, context)

    def _branch(self, test: FieldTest, context: Context) -> FieldResult:
        group = context.branch_group()
        if not isinstance(group, tuple):
            return FieldResult(Value.UNKNOWN, missing=(group,))
        condition = test.condition
        assert isinstance(condition, OneOf)
        hit = any(build in condition.values for build in group)
        build = group[0] if group else None
        line: EvidenceDict = {
            "statement": f"Windows is of branch {build}"
            if hit
            else f"Windows is of branch {build}, not {condition.words()}",
            "value": build,
            "expected": condition.words(),
            "path": "/system/build",
        }
        return FieldResult(Value.of(hit), line)


OS = _OperatingSystem(
    name="os",
    section="system",
    noun="Windows",
    fields={
        "build": Field(INTEGER, "build"),
        "ubr": Field(INTEGER, "update revision"),
        "at": Field(BUILD, "the update level", get=_level, path=("ubr",)),
        "branch": Field(INTEGER, "branch", key="build", plain=True),
        "product": Field(TEXT, "product"),
        "edition": Field(TEXT, "edition"),
        "installation": Field(
            enum_of("client", "server", "server-core", "nano", "azure-local", "container-host"), "installation"
        ),
        "arch": Field(enum_of("x64", "x86", "arm64"), "architecture"),
        "role": Field(enum_of("workstation", "member", "domain-controller"), "role"),
        "in": Field(enum_of("affected"), "affected range", plain=True),
    },
)

SYSTEM = MapFamily(
    name="system",
    section="system",
    noun="the machine",
    fields={
        "hostname": Field(TEXT, "host name"),
        "manufacturer": Field(TEXT, "manufacturer"),
        "model": Field(TEXT, "model"),
        "hypervisor": Field(TEXT, "hypervisor"),
        "cpu": Field(TEXT, "processor"),
        "memory_bytes": Field(INTEGER, "memory"),
        "processors": Field(INTEGER, "number of processors"),
        "timezone": Field(TEXT, "time zone"),
        "domain": Field(TEXT, "domain"),
        "installed_at": Field(DATE_TIME, "time of installation"),
        "last_shutdown": Field(DATE_TIME, "last clean shutdown"),
        "clean_shutdown": flag("clean shutdown"),
        "cluster_member": flag("member of a cluster"),
        "hotpatch": flag("hotpatch"),
    },
)
