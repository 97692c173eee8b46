"""Every JSON document that stopcode writes names its schema, and is what `stopcode schema` says, to the key."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stopcode.report.documents import DOCUMENTS
from stopcode.report.stored import document_schema
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.cli.test_rescue import put
from tests.stopcode.machines import windows_folder


def strict(node: Any) -> Any:
    """The same schema without room for keys that it does not name: what is written must be described."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: strict(value) for key, value in node.items()}
    if "properties" in made and made.get("type") == "object":
        made["additionalProperties"] = False
    return made


def held(document: Any, name: str) -> Any:
    assert document["schema"] == f"stopcode/{name}/1"
    schema = strict(copy.deepcopy(document_schema(name)))
    jsonschema.Draft202012Validator(schema).validate(document)
    return document


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return put(windows_folder(tmp_path / "image", hostname="SRV-ONE"))


def test_the_command_names_every_document_and_no_other(call: Stopcode) -> None:
    for name in DOCUMENTS:
        assert call("schema", name).document["title"] == f"stopcode/{name}/1"
    assert call("schema", "nothing").code == 2


def test_what_rescue_lists_and_copies(call: Stopcode, image: Path, tmp_path: Path) -> None:
    (image / "Windows/Minidump/bad.dmp").write_bytes(b"no dump" * 99)
    document = held(call("rescue", "-o", "json", image).document, "rescue")
    assert any("problem" in row for row in document["dumps"])
    assert any(row.get("live") for row in document["dumps"])
    out = tmp_path / "out"
    out.mkdir()
    (out / "MEMORY.DMP").write_bytes(b"mine")
    words = ("rescue", "-o", "json", image, "--dump", "1", "--dump", "2", "--to", out)
    copied = held(call(*words).document, "rescue")["copied"]
    assert ["problem" in row for row in copied] == [False, True]


@pytest.mark.parametrize("redact", [False, True])
def test_the_manifest_of_a_rescue_zip(call: Stopcode, image: Path, tmp_path: Path, redact: bool) -> None:
    words = ["--support", "--files", "Users\\**", "--files", "no-such\\*", *(["--redact"] if redact else [])]
    document = held(call("rescue", "-o", "json", image, *words, "--to", tmp_path / "out").document, "rescue")
    with zipfile.ZipFile(document["archive"].pop("to")) as packed:
        manifest = held(json.loads(packed.read("manifest.json")), "rescue-manifest")
    assert manifest == document["archive"]
    assert manifest["redacted"] is redact
    assert manifest["not_found"]
    assert ("names_too_short" in manifest) is redact


def test_what_batch_writes_of_a_fleet_and_of_an_image_that_gave_nothing(
    call: Stopcode, image: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.vhd"
    bad.write_bytes(b"no disk" * 999)
    words = ("batch", image, bad, "--case", tmp_path / "fleet.case")
    fleet = held(call(*words, "-o", "json").document, "fleet")
    assert [item["path"] for item in fleet["failed"]] == [str(bad)]
    assert fleet["machines"][0]["problems"]
    by_schema = {
        document["schema"]: document for document in map(json.loads, call(*words, "-o", "jsonl").out.splitlines())
    }
    held(by_schema["stopcode/failure/1"], "failure")
    assert set(by_schema) == {"stopcode/failure/1", "stopcode/report/1"}


@pytest.mark.parametrize(
    "words", [("0x1000007E", "0xffffffffc0000005"), ("0xc000000e",), ("DRIVER",), ("123",), ("0x1A", "41792")]
)
def test_what_explain_finds(call: Stopcode, words: tuple[str, ...]) -> None:
    document = held(call("explain", "-o", "json", *words).document, "explain")
    assert document["found"]
    assert any("CC BY 4.0" in line for line in document["credits"])


def test_what_is_said_of_rules(call: Stopcode, image: Path, tmp_path: Path) -> None:
    listed = held(call("signatures", "list", "-o", "json").document, "signatures-list")
    ids = [row["id"] for row in listed["rules"]]
    shown = held(call("signatures", "show", "-o", "json", *ids).document, "signatures-show")
    assert [row["id"] for row in shown["rules"]] == ids
    for rule in ids[:3]:
        why = held(call("signatures", "why", "-o", "json", rule, image).document, "signatures-why")
        assert why["rule"] == rule
    tested = held(call("signatures", "test", "-o", "json", "vmstorfl").document, "signatures-test")
    assert all(row["passed"] for row in tested["tests"])
    assert (tested["rules"], tested["problems"]) == (1, [])


def test_a_file_that_does_not_load_is_told_by_lint_and_by_test(call: Stopcode, tmp_path: Path) -> None:
    broken = tmp_path / "x.yaml"
    broken.write_text('schema: "1"\nid: x\nid: x\n')
    linted = held(call("signatures", "lint", "-o", "json", broken).document, "signatures-lint")
    tested = held(call("signatures", "test", "-o", "json", broken).document, "signatures-test")
    for document in (linted, tested):
        assert "SC002" in {problem["code"] for problem in document["problems"]}
    assert (linted["rules"], tested["rules"], tested["tests"]) == (0, 0, [])
