"""The document of `stopcode disk`, held against its schema wherever a test asks for it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jsonschema

from stopcode.report.stored import document_schema
from tests.stopcode.cli.run import Stopcode


def checked(document: Any) -> dict[str, Any]:
    jsonschema.Draft202012Validator(document_schema("disk")).validate(document)
    assert isinstance(document, dict)
    return document


def told(call: Stopcode, path: Path, *words: object, code: int = 0) -> dict[str, Any]:
    done = call("disk", "-o", "json", path, *words)
    assert done.code == code, done.err + done.out
    assert call("disk", path, *words).code == code
    return checked(done.document)


def codes(document: dict[str, Any]) -> set[str]:
    return {item["code"] for item in document["diagnostics"]}


def zeroed(data: bytes, ranges: list[list[int]]) -> bytes:
    out = bytearray(data)
    for offset, length in ranges:
        out[offset : offset + length] = bytes(length)
    return bytes(out)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
