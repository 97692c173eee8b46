"""A rule's file as a tree of scalars, lists and maps, each with its place: YAML without its traps.

Every scalar is text. Refused, with place: duplicate keys, anchors, aliases, tags, merge keys, several documents, empty
scalars, tabs, control and bidirectional characters, too big, too deep. Any bytes give a tree or problems.

The tree is built from libyaml's events and not recursively, so that nesting costs nothing but a list entry. Where
PyYAML comes without libyaml its own reader does the same, slowly.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from signatures.model import Mark
from signatures.problems import Problems

__all__ = ["MAX_DEPTH", "MAX_FILE", "MAX_NODES", "MapNode", "ScalarNode", "SeqNode", "YamlNode", "read_tree"]

#: Bytes of one rule's file.
MAX_FILE = 64 << 10
#: Depth of nesting.
MAX_DEPTH = 16
#: Scalars, lists and maps of one file; the largest sound file has a few hundred.
MAX_NODES = 20_000

#: C0 without line feed, DEL, C1, line and paragraph separators, byte-order mark inside, surrogates, and the characters
#: that turn the direction of text (a rule's text must read as it is).
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_TAB = "\t"


class _Placed:
    """Something with a place; the place is made only when somebody asks, since few are ever told.

    Args:
        event: what libyaml said, or a mark that is known already.

    """

    __slots__ = ("_event",)

    def __init__(self, event: Any) -> None:
        self._event = event

    @property
    def mark(self) -> Mark:
        """Where it stands."""
        return self._event if isinstance(self._event, Mark) else _mark(self._event)


class ScalarNode(_Placed):
    """A text; `quoted` or a block, so that an empty one is meant."""

    __slots__ = ("quoted", "text")

    def __init__(self, text: str, event: Any, quoted: bool = False) -> None:
        self._event = event
        self.text = text
        self.quoted = quoted


class SeqNode(_Placed):
    """A list."""

    __slots__ = ("items",)

    def __init__(self, event: Any) -> None:
        self._event = event
        self.items: list[YamlNode] = []


class MapNode(_Placed):
    """A map, in the file's order; keys are unique."""

    __slots__ = ("entries",)

    def __init__(self, event: Any) -> None:
        self._event = event
        self.entries: dict[str, tuple[ScalarNode, YamlNode]] = {}

    def get(self, key: str) -> YamlNode | None:
        """Return a value or None."""
        found = self.entries.get(key)
        return found[1] if found is not None else None


YamlNode = ScalarNode | SeqNode | MapNode


def read_tree(data: bytes, problems: Problems) -> MapNode | None:
    """Return the file's map, or None when it has none; everything that is refused is told."""
    text = _decode(data, problems)
    if text is None:
        return None
    problems.lines = text.split("\n")
    if not _characters(text, problems):
        return None
    before = len(problems.items)
    root = _build(text, problems)
    # A tree that is cut, or with an alias or a tag in it, does not say what it seems to say.
    if any(problem.code in ("SC001", "SC003", "SC005") for problem in problems.items[before:]):
        return None
    if not isinstance(root, MapNode):
        mark = root.mark if root is not None else Mark(1, 1, 2)
        problems.add(mark, "", "a rule is a map of keys", "SC103", 'begin with `schema: "1"`')
        return None
    return root


def _decode(data: bytes, problems: Problems) -> str | None:
    start = Mark(1, 1, 2)
    if len(data) > MAX_FILE:
        problems.add(start, "", f"the file has {len(data)} bytes, more than {MAX_FILE}", "SC005")
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        problems.add(Mark(line, column, column + 1), "", "not UTF-8", "SC001", "save the file as UTF-8")
        return None
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _characters(text: str, problems: Problems) -> bool:
    """Tell whether the text holds only characters that show as what they are; no tab either."""
    sound = True
    if _TAB not in text and _FORBIDDEN.search(text) is None:
        return True
    for number, line in enumerate(problems.lines, 1):
        at = line.find(_TAB)
        if at >= 0:
            mark = Mark(number, at + 1, at + 2)
            problems.add(mark, "", "a tab", "SC004", "YAML is indented with spaces; write \\t inside double quotes")
            sound = False
        match = _FORBIDDEN.search(line)
        if match is not None:
            mark = Mark(number, match.start() + 1, match.start() + 2)
            problems.add(mark, "", _name_of(match.group()), "SC004", "remove it")
            sound = False
    return sound


def _name_of(char: str) -> str:
    return f"the character U+{ord(char):04X} {unicodedata.name(char, 'control')}"


def _mark(event: Any) -> Mark:
    start, end = event.start_mark, event.end_mark
    column = start.column + 1
    return Mark(start.line + 1, column, end.column + 1 if end.line == start.line else column + 1)


def _build(text: str, problems: Problems) -> YamlNode | None:
    import yaml

    loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    builder = _Builder(problems, yaml)
    try:
        for event in yaml.parse(text, Loader=loader):
            if not builder.take(event):
                break
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        message = error.problem or error.context or "not YAML"
        problems.add(Mark(line, column, column + 1), "", f"not YAML: {message}", "SC001", _yaml_hint(str(message)))
    except yaml.YAMLError as error:
        problems.add(Mark(1, 1, 2), "", f"not YAML: {str(error)[:120]}", "SC001")
    except (ValueError, OverflowError) as error:
        # The pure reader lets `chr` refuse an escape like "\Uffffffff".
        problems.add(Mark(1, 1, 2), "", f"not YAML: {str(error)[:120]}", "SC001")
    return builder.root


def _yaml_hint(message: str) -> str:
    if "mapping values are not allowed" in message:
        return "put a text with a colon in double quotes"
    if "unknown escape character" in message:
        return "inside double quotes write \\\\ for a backslash"
    return ""


class _Builder:
    """Turns events into nodes: a stack of the lists and maps that are open, and the keys that wait for their values."""

    def __init__(self, problems: Problems, yaml: Any) -> None:
        self.problems = problems
        self.root: YamlNode | None = None
        self.stack: list[SeqNode | MapNode] = []
        self.keys: list[ScalarNode | None] = []
        self.documents = 0
        self.nodes = 0
        self.handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.SequenceStartEvent: self._sequence,
            yaml.MappingStartEvent: self._mapping,
            yaml.SequenceEndEvent: self._end,
            yaml.MappingEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }

    def take(self, event: Any) -> bool:
        """Take one event; return whether to go on."""
        handler = self.handlers.get(type(event))
        return handler is None or handler(event)

    def _scalar(self, event: Any) -> bool:
        if event.anchor is not None or event.tag is not None:
            self._decorations(event, event.implicit != (False, False))
        style = event.style
        # A plain scalar has the style "".
        node = ScalarNode(event.value, event, bool(style))
        if style == '"':
            # Only inside double quotes an escape can bring in what the text itself must not hold.
            match = _FORBIDDEN.search(event.value)
            if match is not None:
                self.problems.add(node.mark, "", f"{_name_of(match.group())}, by an escape", "SC004", "remove it")
        return self._add(node)

    def _sequence(self, event: Any) -> bool:
        return self._open(SeqNode(event), event)

    def _mapping(self, event: Any) -> bool:
        return self._open(MapNode(event), event)

    def _open(self, node: SeqNode | MapNode, event: Any) -> bool:
        if event.anchor is not None or event.tag is not None:
            self._decorations(event, event.implicit)
        if len(self.stack) >= MAX_DEPTH:
            self.problems.add(node.mark, "", f"nested deeper than {MAX_DEPTH}", "SC005")
            return False
        going = self._add(node)
        self.stack.append(node)
        self.keys.append(None)
        return going

    def _end(self, event: Any) -> bool:
        self.stack.pop()
        self.keys.pop()
        return True

    def _alias(self, event: Any) -> bool:
        self._refuse(event, f"an alias, *{event.anchor}", "SC003", "write the value out; `define` names predicates")
        return self._add(ScalarNode("", event, quoted=True))

    def _document(self, event: Any) -> bool:
        self.documents += 1
        if self.documents > 1:
            self._refuse(event, "a second document", "SC001", "one rule, one file")
            return False
        if event.version or event.tags:
            self._refuse(event, "a YAML directive", "SC003", "remove it")
        return True

    def _decorations(self, event: Any, implicit: bool) -> None:
        if event.anchor is not None:
            self._refuse(event, f"an anchor, &{event.anchor}", "SC003", "write values out; `define` names predicates")
        if event.tag is not None and not (event.tag == "!" and implicit):
            self._refuse(event, f"a tag, {event.tag}", "SC003", "every value is text; remove it")

    def _refuse(self, event: Any, message: str, code: str, hint: str) -> None:
        self.problems.add(_mark(event), "", message, code, hint)

    def _add(self, node: YamlNode) -> bool:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.problems.add(node.mark, "", f"more than {MAX_NODES} values", "SC005")
            return False
        if not self.stack:
            self.root = node
            return True
        top = self.stack[-1]
        if isinstance(top, MapNode):
            key = self.keys[-1]
            if key is None:
                self.keys[-1] = self._key(node)
                return True
            self.keys[-1] = None
            self._entry(top, key, node)
        else:
            top.items.append(node)
        if isinstance(node, ScalarNode) and not node.text and not node.quoted:
            self.problems.add(node.mark, "", "an empty value", "SC103", 'write "" for an empty text')
        return True

    def _entry(self, top: MapNode, key: ScalarNode, node: YamlNode) -> None:
        first = top.entries.setdefault(key.text, (key, node))
        if first[1] is not node:
            hint = f"the first is on line {first[0].mark.line}"
            self.problems.add(key.mark, "", f"the key `{key.text[:60]}` is there twice", "SC002", hint)
        elif key.text == "<<" and not key.quoted:
            del top.entries[key.text]
            self.problems.add(key.mark, "", "a merge key", "SC003", "write the keys out")

    def _key(self, node: YamlNode) -> ScalarNode:
        if isinstance(node, ScalarNode):
            return node
        self.problems.add(node.mark, "", "a key must be a word", "SC103")
        return ScalarNode("", node.mark, quoted=True)
