"""Every JSON document that stopcode writes, by name: `stopcode/NAME/1` is its schema's."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DOCUMENTS", "Document"]


class Document(NamedTuple):
    """Where a document's type is, which is loaded only when somebody asks for it, and who writes such documents."""

    module: str
    kind: str
    written_by: str


DOCUMENTS = {
    "facts": Document("forensics.facts", "Facts", "the facts inside a report"),
    "report": Document("stopcode.report.document", "Report", "scan, dump of one file; a line each with -o jsonl"),
    "dumps": Document("stopcode.report.dumps", "DumpsDocument", "dump of many"),
    "disk": Document("stopcode.report.disk", "DiskDocument", "disk"),
    "rescue": Document("stopcode.rescue.document", "Rescue", "rescue"),
    "rescue-manifest": Document("stopcode.rescue.document", "Manifest", "rescue: manifest.json in its zip"),
    "fleet": Document("stopcode.report.fleet", "Fleet", "batch"),
    "failure": Document("stopcode.report.fleet", "Failure", "batch -o jsonl, of an image that gave no report"),
    "explain": Document("stopcode.report.explained", "Explained", "explain"),
    "signatures-list": Document("stopcode.report.rules", "RuleList", "signatures list"),
    "signatures-show": Document("stopcode.report.rules", "RuleTexts", "signatures show"),
    "signatures-lint": Document("stopcode.report.rules", "Linted", "signatures lint"),
    "signatures-test": Document("stopcode.report.rules", "Tested", "signatures test"),
    "signatures-why": Document("stopcode.report.rules", "Why", "signatures why"),
}
