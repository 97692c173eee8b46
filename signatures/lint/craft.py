"""SC401 to SC408: texts that help, and marks of care."""

from __future__ import annotations

import re

from signatures.conditions import OneOf
from signatures.load import walk
from signatures.lock import check_lock
from signatures.model import Leaf, Mark, Rule
from signatures.problems import Problems

__all__ = ["check_craft"]

_TITLE = 100
_SUMMARY = 300
#: The end of a sentence: a mark, white space, and a capital.
_SENTENCES = re.compile(r"[.!?]\s+[A-Z]")
#: Commands that change or destroy what they are pointed at.
_WRITES = re.compile(
    r"\b(format|diskpart|del|erase|rd|rmdir|remove-item|clean|ren|move|bcdedit\s+/(set|delete|import)|bootrec|"
    r"chkdsk\b.*/[fr]|reg\s+(add|delete|import|unload)|dism\b.*/(add|remove|cleanup|restorehealth))",
    re.IGNORECASE,
)


def check_craft(rule: Rule, problems: Problems) -> None:
    """Check texts and care."""
    top = Mark(1, 1, 2)

    def mark(key: str) -> Mark:
        return rule.marks.get(key, top)

    if len(rule.title) > _TITLE or rule.title.endswith("."):
        message = f"the title has {len(rule.title)} characters, or ends in a full stop"
        problems.add(mark("title"), "title", message, "SC401", f"at most {_TITLE}, without a full stop")
    if len(rule.summary) > _SUMMARY or _SENTENCES.search(rule.summary) or not rule.summary.endswith("."):
        message = "the summary is not one sentence"
        problems.add(mark("summary"), "summary", message, "SC402", f"one, of at most {_SUMMARY} characters")
    if rule.status == "stable" and not re.search(r"^\s*Limits:", rule.explain, re.MULTILINE):
        hint = "a paragraph that begins with `Limits:`"
        problems.add(mark("explain"), "explain", "the limits of the rule are not told", "SC403", hint)
    for at, reference in enumerate(rule.references):
        if "says" not in reference:
            message = f"the reference {reference['id']} does not say what it supports"
            problems.add(mark("references"), f"references[{at}]", message, "SC404", "add `says:`")
    for at, step in enumerate(rule.remediation):
        if not step.risk and any(_WRITES.search(command) for command in step.commands):
            message = "a command that writes, without `risk`"
            problems.add(step.mark, f"remediation[{at}]", message, "SC405", "say what can go wrong, or what to keep")
    for node in rule.nodes():
        for below in walk(node):
            test = below.field("file") if isinstance(below, Leaf) and below.family == "driver" else None
            if test is not None and isinstance(test.condition, OneOf):
                for text in test.condition.texts:
                    if text != text.lower():
                        problems.add(test.mark, "driver.file", f"{text} is not lower case", "SC408", text.lower())
    message = check_lock(rule)
    if message:
        problems.add(mark("version"), "version", message, "SC406", "raise `version`, then update the lock")
