"""`update`: servicing packages, and the cumulative update that build.UBR stands for.

`satisfied` asks whether an update, or anything that supersedes it, is in effect: cumulative updates of one branch
contain each other, so a machine at or above the level that the update brought has it, whatever its package's state.
Where no list knows the update's level on this branch, the packages decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parsers.windows_builds import base_of, release_of_kb
from signatures.conditions import OneOf
from signatures.kinds import DATE_TIME, FLAG, KB, TEXT, enum_of
from signatures.model import FieldTest, Leaf
from signatures.predicates.base import Field, flag
from signatures.predicates.family import Context
from signatures.predicates.list_family import ListFamily
from signatures.three import Value, negate
from signatures.verdict import EvidenceDict, MissingDict, Verdict

__all__ = ["UPDATE"]

_KB_IN_NAME = re.compile(r"KB(\d{6,8})", re.IGNORECASE)


@dataclass(frozen=True)
class _Updates(ListFamily):
    def subject(self, item: Mapping[str, Any]) -> str:
        package = str(item.get("package", ""))
        kb = item.get("kb")
        return f"update {kb}" if isinstance(kb, str) else f"package {package}"

    def could_be(self, leaf: Leaf, name: str, context: Context) -> bool:
        """Hold a package's name against the update or glob that the leaf asks for."""
        kb, found = leaf.field("kb"), _KB_IN_NAME.search(name)
        if kb is not None and kb.condition is not None and found is not None:
            return kb.condition.test(f"KB{found.group(1)}", context).value is not Value.NO
        package = leaf.field("package")
        if package is not None and package.condition is not None:
            return package.condition.test(name.casefold(), context).value is not Value.NO
        return True

    def evaluate(self, leaf: Leaf, context: Context) -> Verdict:
        asked = leaf.field("satisfied")
        if asked is None:
            return super().evaluate(leaf, context)
        rest = tuple(test for test in leaf.fields if test is not asked)
        verdict = self._satisfied(Leaf(leaf.family, rest), context)
        assert isinstance(asked.condition, OneOf)
        if asked.condition.values[0]:
            return verdict
        return Verdict(
            negate(verdict.value),
            self.name,
            evidence=verdict.against,
            against=verdict.evidence,
            missing=verdict.missing,
            leaf=True,
        )

    def _satisfied(self, leaf: Leaf, context: Context) -> Verdict:
        kb = leaf.field("kb")
        assert kb is not None
        assert isinstance(kb.condition, OneOf)
        installed = FieldTest("state", OneOf(TEXT, ("installed",), ("installed",)))
        by_package = super().evaluate(Leaf(leaf.family, (*leaf.fields, installed)), context)
        if by_package.value is Value.YES:
            return by_package
        world = context.world
        build, ubr = world.build, world.ubr
        if build is None:
            return by_package
        if not isinstance(build, int):
            return self._unknown(build)
        level = self._level(kb.condition, build)
        if level is None:
            return by_package
        if ubr is None:
            return by_package
        if not isinstance(ubr, int):
            return self._unknown(ubr)
        reached = ubr >= level
        words = f"{kb.condition.words()} is {build}.{level}"
        line: EvidenceDict = {
            "statement": f"Windows {build}.{ubr} is at or above it: {words}" if reached else
            f"Windows {build}.{ubr} is below it: {words}",
            "value": f"{build}.{ubr}",
            "expected": f"at or above {build}.{level}",
            "path": "/system/ubr",
        }  # fmt: skip
        source = world.source_of(world.section("system"), "ubr")
        if source is not None:
            line["source"] = source
        return Verdict(
            Value.of(reached),
            self.name,
            evidence=(line,) if reached else (),
            against=() if reached else (line,),
            leaf=True,
        )

    def _unknown(self, missing: MissingDict) -> Verdict:
        return Verdict(Value.UNKNOWN, self.name, missing=(missing,), leaf=True)

    @staticmethod
    def _level(condition: OneOf, build: int) -> int | None:
        """Return the lowest revision on this branch that one of the updates brought."""
        found = [
            release.ubr
            for name in condition.values
            for release in release_of_kb(name)
            if release.ubr is not None and base_of(release.build) == base_of(build)
        ]
        return min(found, default=None)


UPDATE = _Updates(
    name="update",
    section="updates",
    noun="update",
    place="the servicing packages",
    time_key="installed_at",
    fields={
        "kb": Field(KB, "KB", identity=True),
        "package": Field(TEXT, "package", identity=True),
        "state": Field(
            enum_of(
                "installed",
                "staged",
                "install-pending",
                "uninstall-pending",
                "superseded",
                "absent",
                "failed",
                "resolving",
                "resolved",
                "staging",
                "partially-installed",
                "other",
            ),
            "state",
        ),
        "installed_at": Field(DATE_TIME, "time of installation"),
        "cumulative": flag("cumulative"),
        "satisfied": Field(FLAG, "in effect", plain=True),
        "pending_reboot": flag("waits for a reboot"),
    },
)
