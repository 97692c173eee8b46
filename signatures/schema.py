"""The table of a rule's keys: what each takes, and from which status on it is needed (docs/signatures.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from signatures.model import InlineTest, Step
from signatures.predicate_reader import PredicateShape
from signatures.problems import Problems, quoted
from signatures.ranges_reader import AffectedShape
from signatures.shapes import (
    BAD,
    Bad,
    Choice,
    Day,
    Key,
    ListOf,
    Number,
    Plain,
    Shape,
    Slug,
    Table,
    Text,
    first_mark,
    wrong_type,
)
from signatures.yaml_nodes import MapNode, YamlNode

__all__ = ["FAMILIES_OF_RULES", "KINDS", "RULE", "SEVERITIES", "STATES", "STATUSES"]

#: The kinds of trouble, also the folders of the database.
FAMILIES_OF_RULES = (
    "storage", "boot", "update", "security-product", "backup-replication", "network", "filesystem", "graphics",
    "hypervisor", "hardware", "domain-controller", "cluster", "container",
)  # fmt: skip
KINDS = ("regression", "third-party", "misconfiguration", "corruption", "hardware", "advisory")
STATUSES = ("experimental", "test", "stable", "withdrawn")
SEVERITIES = ("critical", "high", "medium", "low", "info")
TRIGGERS = ("failover", "reboot", "update", "migration", "load", "time", "hardware-change", "uninstall")
TARGETS = (
    "azure", "azure-site-recovery", "hyper-v", "hyper-v-replica", "azure-stack-hci", "vmware", "kvm", "physical", "any",
)  # fmt: skip
STATES = ("exposed", "crashed", "suspected", "clear", "unjudged")
_REFERENCES = ("vendor", "report", "blog", "issue", "dataset", "own-measurement")
_STEPS = ("vendor-fix", "workaround", "offline", "check", "contact")
_RELATIONS = ("same-update", "supersedes", "superseded-by", "often-with", "not-to-confuse-with")
#: Entries of `define`, and of lists of conditions.
_MAX_ENTRIES = 64


@dataclass(frozen=True, slots=True)
class _Named:
    """A map of names to predicates."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the predicates by name."""
        if not isinstance(node, MapNode):
            return wrong_type(node, path, problems, "a map of names to predicates")
        if len(node.entries) > _MAX_ENTRIES:
            problems.add(node.mark, path, f"more than {_MAX_ENTRIES} entries", "SC005")
            return BAD
        found = {}
        for name, (key, value) in node.entries.items():
            Slug().read(key, path, problems)
            read = PredicateShape().read(value, f"{path}.{name}", problems)
            if not isinstance(read, Bad):
                found[name] = read
        return found


_STEP = Table(
    {
        "do": Key(Text(400), "always"),
        "kind": Key(Choice(_STEPS), "always"),
        "when": Key(PredicateShape()),
        "commands": Key(ListOf(Text(400))),
        "kb": Key(Text(20)),
        "source": Key(Slug()),
        "risk": Key(Text(300)),
    },
    "a step",
)


@dataclass(frozen=True, slots=True)
class _StepShape:
    """A step of the remedy."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the step."""
        values = _STEP.read(node, path, problems)
        if isinstance(values, Bad):
            return BAD
        assert isinstance(node, MapNode)
        source = node.get("source")
        return Step(**values, mark=source.mark if source is not None else first_mark(node))


_TEST = Table(
    {
        "name": Key(Text(200), "always"),
        "expect": Key(Choice(STATES), "always"),
        "facts": Key(Plain()),
        "gaps": Key(ListOf(Text(300))),
        "evidence": Key(ListOf(Text(300))),
        "missing": Key(ListOf(Text(300), least=0)),
        "against": Key(ListOf(Text(300))),
        "sample": Key(Slug()),
    },
    "a test",
)


@dataclass(frozen=True, slots=True)
class _TestShape:
    """An inline test."""

    def read(self, node: YamlNode, path: str, problems: Problems) -> Any:
        """Return the test."""
        values = _TEST.read(node, path, problems)
        if isinstance(values, Bad):
            return BAD
        assert isinstance(node, MapNode)
        if ("facts" in values) == ("sample" in values):
            problems.add(first_mark(node), path, "a test has either `facts` or `sample`", "SC102")
            return BAD
        facts = values.get("facts", {})
        if not isinstance(facts, dict):
            return wrong_type(node.entries["facts"][1], f"{path}.facts", problems, "a map")
        for at, gap in enumerate(values.get("gaps", ())):
            if not gap.startswith("/"):
                gaps = node.entries["gaps"][1]
                problems.add(
                    gaps.mark, f"{path}.gaps[{at}]", f"not a facts path: {quoted(gap)}", "SC103", "/drivers/x.sys"
                )
        return InlineTest(**{**values, "facts": facts}, mark=first_mark(node))


_SLUGS: Shape = ListOf(Slug())
_PREDICATE: Shape = PredicateShape()

RULE = Table(
    {
        "schema": Key(Choice(("1",)), "always"),
        "id": Key(Slug(3), "always"),
        "aliases": Key(_SLUGS),
        "title": Key(Text(200), "always"),
        "summary": Key(Text(600), "always"),
        "family": Key(Choice(FAMILIES_OF_RULES), "always"),
        "kind": Key(Choice(KINDS), "always"),
        "status": Key(Choice(STATUSES), "always"),
        "severity": Key(Choice(SEVERITIES), "always"),
        "version": Key(Number(), "always"),
        "created": Key(Day(), "always"),
        "modified": Key(Day(), "always"),
        "triggers": Key(ListOf(Choice(TRIGGERS)), "test"),
        "targets": Key(ListOf(Choice(TARGETS))),
        "seeds": Key(ListOf(Text(20))),
        "references": Key(
            ListOf(
                Table(
                    {
                        "id": Key(Slug(), "always"),
                        "kind": Key(Choice(_REFERENCES), "always"),
                        "title": Key(Text(300), "always"),
                        "url": Key(Text(500)),
                        "repo": Key(Text(300)),
                        "date": Key(Text(20)),
                        "says": Key(Text(1000)),
                    },
                    "a reference",
                )
            ),
            "always",
        ),
        "define": Key(_Named()),
        "affected": Key(ListOf(AffectedShape())),
        "excludes": Key(ListOf(_PREDICATE)),
        "exposed": Key(_PREDICATE),
        "crashed": Key(_PREDICATE),
        "crashed_needs": Key(Choice(("no", "exposed"))),
        "corroborates": Key(ListOf(_PREDICATE)),
        "suspect": Key(Choice(("informed", "never"))),
        "explain": Key(Text(6000, lines=True), "always"),
        "remediation": Key(ListOf(_StepShape()), "always"),
        "related": Key(
            ListOf(Table({"id": Key(Slug(), "always"), "how": Key(Choice(_RELATIONS), "always")}, "a relation"))
        ),
        "tests": Key(ListOf(_TestShape()), "test"),
        "withdrawn": Key(
            Table(
                {"date": Key(Day(), "always"), "reason": Key(Text(500), "always"), "instead": Key(Slug())},
                "{date, reason, instead}",
            )
        ),
    },
    "a rule",
)
