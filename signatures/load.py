"""Loading: rule files to a database, with every problem of every file told at once.

A broken built-in rule is an error of ours (`RuleError`); a broken rule in a user's folder is a diagnostic, and the
scan goes on without it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from parsers.diagnostics import Diagnostics
from parsers.errors import InputNotFoundError, RuleError
from signatures.digest import digest_of
from signatures.model import AllNode, AnyNode, CountNode, Leaf, Mark, Node, NotNode, Rule, UseNode
from signatures.problems import Problem, Problems, nearest, render
from signatures.schema import RULE
from signatures.shapes import Bad, first_mark
from signatures.yaml_nodes import MAX_FILE, MapNode, ScalarNode, read_tree

if TYPE_CHECKING:
    from forensics.facts import Wants

__all__ = ["BUILT_IN", "Database", "Loaded", "load_database", "load_files", "load_rule", "walk"]

#: The folder of the rules that come with stopcode.
BUILT_IN = Path(__file__).parent / "database"
#: Rule files of one folder.
MAX_RULE_FILES = 5000
#: The block of `tests:` in a file in block style: up to the next line that begins a key.
_TESTS = re.compile(rb"^tests:[ ]*\n(?:[ #-][^\n]*\n|\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Database:
    """The loaded rules, sorted by id.

    Attributes:
        rules: all of them, withdrawn ones too.
        digest: over the meaning of all rules, hexadecimal; two databases with the same digest judge alike.

    """

    rules: tuple[Rule, ...]
    digest: str = field(default="")

    def get(self, name: str) -> Rule | None:
        """Return a rule by its id or a former id."""
        return next((rule for rule in self.rules if rule.id == name or name in rule.aliases), None)

    def wants(self) -> Wants:
        """Return what collectors must look for so that every rule can be judged."""
        from signatures.wants import wants_of

        return wants_of(self.rules)


@dataclass(frozen=True)
class Loaded:
    """What files gave: rules that are sound, and all problems, sorted by place."""

    rules: tuple[Rule, ...]
    problems: tuple[Problem, ...]


def load_database(
    folders: Sequence[Path] = (), diagnostics: Diagnostics | None = None, *, tests: bool = True
) -> Database:
    """Load the built-in rules and those of user folders.

    A user's rule with the id of a built-in one takes its place.

    Args:
        folders: folders (or files) of the user's rules.
        diagnostics: told what is broken in them.
        tests: whether the built-in rules keep their inline tests; a scan does not need them, and they are more than
            half of what a rule's file takes to read.

    Raises:
        RuleError: a built-in rule is broken.
        InputNotFoundError: a folder is not there.

    """
    built_in = load_files(rule_files(BUILT_IN), tests=tests) if BUILT_IN.is_dir() else Loaded((), ())
    if built_in.problems:
        raise RuleError("\n".join(render(problem) for problem in built_in.problems))
    rules = {rule.id: rule for rule in built_in.rules}
    for folder in folders:
        if not folder.exists():
            raise InputNotFoundError(f"no folder of rules: {folder}", hint="name a folder with .yaml files")
        loaded = load_files(rule_files(folder))
        if diagnostics is not None:
            for problem in loaded.problems:
                where = f"{problem.path}: " if problem.path else ""
                diagnostics.warning(
                    "signatures.rule-broken",
                    f"A rule is left out: {where}{problem.message} [{problem.code}]",
                    hint=problem.hint or "`stopcode signatures lint` shows the place",
                    source=f"{problem.file}:{problem.mark.line}:{problem.mark.column}",
                )
        rules.update({rule.id: rule for rule in loaded.rules})
    ordered = tuple(rules[name] for name in sorted(rules))
    text = "".join(f"{rule.id} {rule.version} {rule.digest}\n" for rule in ordered)
    return Database(ordered, hashlib.sha256(text.encode()).hexdigest())


def rule_files(folder: Path) -> list[Path]:
    """Return the rule files below a folder (or the file itself), sorted."""
    if folder.is_file():
        return [folder]
    found = sorted(path for path in folder.rglob("*.yaml") if path.name != "tolerated.yaml")
    return found[:MAX_RULE_FILES]


def load_files(paths: Sequence[Path], *, tests: bool = True) -> Loaded:
    """Load files together, so that an id is there once; without `tests`, rules have none."""
    rules: list[Rule] = []
    problems: list[Problem] = []
    taken: dict[str, Rule] = {}
    for path in paths:
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_FILE + 1)
        except OSError as error:
            message = f"the file cannot be read: {error.strerror or error}"
            problems.append(Problem(str(path), Mark(1, 1, 2), "", message, "SC001"))
            continue
        loaded = load_rule(data, str(path), stem=path.stem, tests=tests)
        problems += loaded.problems
        for rule in loaded.rules:
            clash = next((taken[name] for name in (rule.id, *rule.aliases) if name in taken), None)
            if clash is not None:
                mark = rule.marks.get("id", Mark(1, 1, 2))
                line = rule.lines[mark.line - 1] if mark.line <= len(rule.lines) else ""
                message = f"the id or alias is taken by {clash.file}"
                problems.append(Problem(str(path), mark, "id", message, "SC007", line=line))
                continue
            taken.update(dict.fromkeys((rule.id, *rule.aliases), rule))
            rules.append(rule)
    problems.sort(key=lambda problem: (problem.file, problem.mark))
    return Loaded(tuple(rules), tuple(problems))


def load_rule(data: bytes, file: str, *, stem: str | None = None, tests: bool = True) -> Loaded:
    """Load one file's bytes; any bytes give a rule or problems.

    Args:
        data: the file.
        file: its name, for problems.
        stem: what its id must be, or None where that does not matter.
        tests: whether to read its inline tests.

    """
    problems = Problems(file)
    root = read_tree(data if tests else _TESTS.sub(_blank, data), problems)
    rule = _rule(root, file, stem, problems, tests=tests) if root is not None else None
    ordered = tuple(sorted(problems.items, key=lambda problem: problem.mark))
    return Loaded((rule,) if rule is not None and not ordered else (), ordered)


def _blank(match: re.Match[bytes]) -> bytes:
    """Keep the number of lines, so that places stay what they are."""
    return b"\n" * match.group().count(b"\n")


def _rule(root: MapNode, file: str, stem: str | None, problems: Problems, *, tests: bool) -> Rule | None:
    values = RULE.read(root, "", problems)
    status = _status(root)
    _needed(root, status, problems, set() if tests else {"tests"})
    if isinstance(values, Bad):
        return None
    if stem is not None and values["id"] != stem:
        mark = root.entries["id"][1].mark
        problems.add(mark, "id", f"the file is called {stem}, the rule {values['id']}", "SC006", "rename one")
    values.pop("schema")
    values["references"] = tuple(values["references"])
    rule = Rule(
        **values,
        file=file,
        digest=digest_of(root),
        marks={name: value.mark for name, (_key, value) in root.entries.items()},
        lines=tuple(problems.lines),
    )
    if status != "withdrawn" and rule.exposed is None and rule.crashed is None and not problems.items:
        problems.add(first_mark(root), "", "neither `exposed` nor `crashed` is there", "SC102")
    _references(rule, root, problems)
    _uses(rule, problems)
    _confidence(rule, problems)
    return rule


def _status(root: MapNode) -> str:
    node = root.get("status")
    return node.text if isinstance(node, ScalarNode) else ""


def _needed(root: MapNode, status: str, problems: Problems, but: set[str]) -> None:
    """Check the keys that a status asks for."""
    levels = {"test": ("test",), "stable": ("test", "stable")}.get(status, ())
    for name, row in RULE.keys.items():
        if row.needed in levels and name not in root.entries and name not in but:
            problems.add(
                first_mark(root), "", f"the key `{name}` is missing", "SC102", f"from status `{row.needed}` on"
            )
    if (status == "withdrawn") != ("withdrawn" in root.entries):
        hint = "`status: withdrawn` and `withdrawn: {date, reason}` go together"
        problems.add(first_mark(root), "", "half withdrawn", "SC102", hint)


def _references(rule: Rule, root: MapNode, problems: Problems) -> None:
    known = [reference["id"] for reference in rule.references]
    for name in sorted({name for name in known if known.count(name) > 1}):
        mark = root.entries["references"][1].mark
        problems.add(mark, "references", f"the id `{name}` is there twice", "SC107")
    named = [
        (edge.source, edge.mark, f"affected[{at}].events")
        for at, entry in enumerate(rule.affected)
        for edge in entry.edges
    ]
    named += [(step.source, step.mark, f"remediation[{at}].source") for at, step in enumerate(rule.remediation)]
    for name, mark, path in named:
        if name and name not in known:
            hint = nearest(name, known) or f"known: {', '.join(known)}"
            problems.add(mark, path, f"unknown reference `{name}`", "SC107", hint)


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, without following `use`."""
    yield node
    if isinstance(node, (AllNode, AnyNode, CountNode)):
        for child in node.children:
            yield from walk(child)
    elif isinstance(node, NotNode):
        yield from walk(node.child)


def used_by(node: Node) -> Iterator[tuple[str, Mark]]:
    """Yield the names of `define` that a node asks for, with places: by `use`, or as the centre of a time window."""
    for below in walk(node):
        if isinstance(below, UseNode):
            yield below.name, below.mark
        elif isinstance(below, Leaf):
            for test in below.fields:
                name = getattr(test.condition, "of", None)
                if isinstance(name, str):
                    yield name, test.mark


def _uses(rule: Rule, problems: Problems) -> None:
    for node in rule.nodes():
        for name, mark in used_by(node):
            if name not in rule.define:
                hint = nearest(name, rule.define) or "name it under `define:`"
                problems.add(mark, "use", f"nothing is defined as `{name}`", "SC108", hint)
    for name in rule.define:
        if _reaches(rule.define, name, name, set()):
            mark = rule.marks.get("define", Mark(1, 1, 2))
            problems.add(mark, f"define.{name}", f"`{name}` asks for itself", "SC109")


def _reaches(define: Mapping[str, Node], start: str, goal: str, seen: set[str]) -> bool:
    todo = [start]
    while todo:
        for name, _mark in used_by(define[todo.pop()]):
            if name == goal:
                return True
            if name in define and name not in seen:
                seen.add(name)
                todo.append(name)
    return False


def _confidence(rule: Rule, problems: Problems) -> None:
    """Refuse a culprit of confidence low where it could make a machine crashed or exposed."""
    told = {id(node) for node in rule.corroborates}
    for node in rule.nodes():
        if id(node) in told:
            continue
        for below in walk(node):
            test = below.field("confidence") if isinstance(below, Leaf) and below.family == "crash" else None
            if test is not None and test.condition is not None and "at least low" in test.condition.words():
                hint = "a scanned stack proves nothing; `low` is for `corroborates`"
                problems.add(test.mark, "crash.confidence", "a crash counts from `medium` up", "SC104", hint)
