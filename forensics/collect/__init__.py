"""Evidence to facts: one module a section of the document, run one after another by `collect`."""

from __future__ import annotations

from forensics.collect.machine import Machine
from forensics.collect.run import collect

__all__ = ["Machine", "collect"]
