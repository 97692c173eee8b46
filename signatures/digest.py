"""The digest of a rule's meaning: what changes it changes what the rule says of machines; texts do not.

It is taken over the canonical JSON of the semantic keys as the file has them, so it does not depend on order, quoting
or layout, nor on how the engine keeps them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from signatures.problems import Problems
from signatures.shapes import Plain
from signatures.yaml_nodes import MapNode

__all__ = ["SEMANTIC_KEYS", "digest_of"]

SEMANTIC_KEYS = (
    "affected", "excludes", "exposed", "crashed", "crashed_needs", "define", "suspect", "status", "severity",
)  # fmt: skip


def digest_of(root: MapNode) -> str:
    """Return the SHA-256 of the semantic part, hexadecimal."""
    plain = Plain()
    nothing = Problems("")
    document: dict[str, Any] = {}
    for name in SEMANTIC_KEYS:
        node = root.get(name)
        if node is not None:
            document[name] = plain.read(node, name, nothing)
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
