"""Any bytes give rules or problems, any document gives a finding: never another exception."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forensics.facts import empty_facts
from signatures import judge, load_database
from signatures.load import load_rule
from signatures.problems import render
from signatures.short_facts import facts_of
from signatures.wants import wants_of
from signatures.why import render_why, why

RULES = load_database().rules
STATES = {"crashed", "exposed", "suspected", "clear", "unjudged"}
FLAGSHIP = next(rule for rule in RULES if rule.id == "vmstorfl")
TEXT = Path(FLAGSHIP.file).read_bytes()


@given(st.binary(max_size=300))
@example(b"a: !!python/object/apply:os.system [x]\n")
@example(b'a: "\\Uffffffff"\n')
@example(b'a: "\\ud800"\n')
@example(b"%TAG ! !\n---\na: !b c\n")
@example(b"\xff\xfea\x00:\x00")
def test_any_bytes_give_a_rule_or_problems(data: bytes) -> None:
    loaded = load_rule(data, "x.yaml")
    assert loaded.rules or loaded.problems
    for problem in loaded.problems:
        assert render(problem)


@given(st.text(alphabet="abc:{}[]-,&*!?|>#%@`\"'\\ \n\t<~.0x", max_size=120))
def test_any_text_of_yaml_signs_gives_a_rule_or_problems(text: str) -> None:
    loaded = load_rule(text.encode(), "x.yaml")
    assert loaded.problems
    for problem in loaded.problems:
        assert render(problem)


@pytest.mark.fuzz
@given(st.integers(0, 2**32))
def test_the_flagships_text_with_pieces_lost_doubled_or_exchanged_gives_a_rule_or_problems(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(TEXT)
    for _ in range(chance.randint(1, 6)):
        at, length = chance.randrange(len(data)), chance.randint(1, 40)
        piece = bytes(data[at : at + length])
        how = chance.randrange(4)
        if how == 0:
            del data[at : at + length]
        elif how == 1:
            data[at:at] = piece * 2
        elif how == 2:
            data[at : at + 1] = bytes([chance.randrange(256)])
        else:
            other = chance.randrange(len(data))
            data[at : at + length] = data[other : other + length]
    loaded = load_rule(bytes(data), "vmstorfl.yaml")
    assert loaded.rules or loaded.problems
    for problem in loaded.problems:
        assert render(problem)
    for rule in loaded.rules:
        assert judge(rule, empty_facts())["state"] in STATES


SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=True) | st.text(max_size=8)
WORDS = st.sampled_from(
    ["vmstorfl.sys", "10.0.17763.771", "17763", "0x7e", "System", "yes", "2021-03-01T00:00:00Z", "", "/drivers", "\\x"]
)
NAMES = st.sampled_from(
    ["file", "version", "name", "item", "path", "glob", "hive", "key", "value", "data", "log", "provider", "id", "time",
     "culprit", "module", "confidence", "modules", "stack", "bugcheck", "code", "parameters", "dump", "complete",
     "module_count", "unloaded", "source", "sources", "absent", "missing", "class_name", "side", "position", "kb",
     "package", "state", "build", "ubr", "installation", "reason"]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)
ITEMS = st.lists(st.dictionaries(NAMES, VALUES, max_size=8), max_size=4)
SECTIONS = [name for name in empty_facts() if name not in ("schema", "gaps")]
DOCUMENTS = st.dictionaries(
    st.sampled_from(SECTIONS), ITEMS | st.dictionaries(NAMES, VALUES, max_size=8) | VALUES, max_size=8
)
GAPS = st.lists(
    st.fixed_dictionaries({"path": WORDS | st.text(max_size=8), "reason": st.text(max_size=4)}) | VALUES, max_size=3
)


@given(DOCUMENTS, GAPS | VALUES)
def test_any_document_gives_a_finding_of_every_rule(document: dict[str, Any], gaps: Any) -> None:
    facts = {**document, "gaps": gaps}
    for rule in RULES:
        finding = judge(rule, facts)
        assert finding["state"] in STATES


@given(DOCUMENTS)
def test_any_document_can_be_explained(document: dict[str, Any]) -> None:
    assert render_why(why(FLAGSHIP, {**empty_facts(), **document}))


JUNK: list[Any] = [None, True, -1, 2**80, 1.5, "", "x", [], [1], {}, {"a": 1}, [[]], [{}], [None], "0x", "KB", "9" * 30]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place of a document."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, inner in below for place in places(inner, (*path, key)))]


@pytest.mark.fuzz
@given(st.integers(0, 2**32))
def test_a_matching_machine_with_junk_in_places_can_be_judged_and_explained(seed: int) -> None:
    chance = random.Random(seed)
    rule = chance.choice(RULES)
    test = chance.choice([test for test in rule.tests if not test.sample])
    document = facts_of(test.facts, test.gaps, wants_of([rule]))
    for _ in range(chance.randint(1, 3)):
        *way, last = chance.choice(places(document)[1:])
        below: Any = document
        for key in way:
            below = below[key]
        below[last] = copy.deepcopy(chance.choice(JUNK))
    assert judge(rule, document)["state"] in STATES
    assert render_why(why(rule, document))
