from __future__ import annotations

import jsonschema
import pytest

from stopcode.report.documents import DOCUMENTS
from stopcode.report.shape import problems
from stopcode.report.stored import document_schema
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.report import by_hand


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_schema_is_a_sound_json_schema(call: Stopcode, name: str) -> None:
    done = call("schema", name)
    assert done.code == 0
    jsonschema.Draft202012Validator.check_schema(done.document)
    assert done.document["title"] == f"stopcode/{name}/1"


def test_every_type_is_described() -> None:
    for document in DOCUMENTS:
        for name, definition in document_schema(document)["$defs"].items():
            assert definition["description"], name


SPOILED = [
    (("facts", "crashes", 0, "culprit", "confidence"), "very high"),
    (("facts", "crashes", 0, "uptime_s"), "long"),
    (("facts", "system", "build"), True),
    (("findings", 0, "state"), "fine"),
    (("diagnostics",), {}),
    (("stats",), None),
]


@pytest.mark.parametrize(("place", "value"), SPOILED, ids=lambda item: str(item)[:40])
def test_our_own_check_and_a_full_validator_refuse_the_same(place: tuple[object, ...], value: object) -> None:
    schema = document_schema("report")
    validator = jsonschema.Draft202012Validator(schema)
    report = by_hand.report()
    assert not problems(report, schema)
    assert validator.is_valid(report)
    parent: object = report
    for step in place[:-1]:
        parent = parent[step]  # type: ignore[index]  # plain data
    parent[place[-1]] = value  # type: ignore[index]  # plain data
    assert problems(report, schema)
    assert not validator.is_valid(report)


def test_a_missing_key_is_refused_and_a_further_one_is_not() -> None:
    schema = document_schema("report")
    report = by_hand.report(something_new={"later": 1})
    assert not problems(report, schema)
    del report["verdict"]
    assert problems(report, schema) == ["/ has no 'verdict'"]


def test_no_more_than_ten_problems_are_told() -> None:
    report = by_hand.report(diagnostics=[{}] * 100)
    assert len(problems(report, document_schema("report"))) == 10
