"""What the documents draw of the house is how the house stands."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import parsers.errors
from parsers.errors import StopcodeError

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def drawn_parents(text: str) -> dict[str, str | None]:
    """Read the tree in a docstring: four columns of drawing a level."""
    parents: dict[str, str | None] = {}
    stack: list[str] = []
    for line in text.splitlines():
        match = re.match(r"\s{4}((?:[│ ]   )*(?:[├└]── )?)([A-Z]\w+(?:Error))\b", line)
        if match:
            depth = len(match[1]) // 4
            del stack[depth:]
            parents[match[2]] = stack[-1] if stack else None
            stack.append(match[2])
    return parents


def test_the_drawn_tree_of_errors_is_the_tree_of_classes() -> None:
    drawn = drawn_parents(parsers.errors.__doc__ or "")
    classes: dict[str, str | None] = {"StopcodeError": None}
    queue: list[type[StopcodeError]] = [StopcodeError]
    while queue:
        parent = queue.pop()
        for child in parent.__subclasses__():
            if child.__module__ == "parsers.errors":
                classes[child.__name__] = parent.__name__
                queue.append(child)
    assert drawn == classes
    assert sorted(parsers.errors.__all__) == sorted(classes)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", text):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"
    floors = r"(?:parsers|forensics|signatures|stopcode|tui|samples|tests|benchmarks|docs)"
    for name in re.findall(rf"`({floors}/[\w./-]+)`", text):
        if name.startswith("samples/built/"):
            continue  # unpacked or built, not committed as such
        if re.fullmatch(r"stopcode/[\w-]+/\d+", name):
            continue  # the schema of a document, not a file
        assert (ROOT / name).exists(), f"{document.name} names {name}"


@pytest.mark.parametrize("floor", ["parsers", "forensics", "signatures", "stopcode", "tui", "samples"])
def test_every_room_says_what_it_is(floor: str) -> None:
    for path in sorted((ROOT / floor).rglob("*.py")):
        source = path.read_text(encoding="utf-8").lstrip()
        assert source.startswith(('"""', 'r"""')), f"{path.relative_to(ROOT)} has no docstring"


def test_every_public_name_exists() -> None:
    for floor in ("parsers", "forensics", "signatures", "stopcode"):
        for path in sorted((ROOT / floor).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if name.endswith("__main__"):
                continue
            module = importlib.import_module(name)
            for public in getattr(module, "__all__", ()):
                assert hasattr(module, public), f"{name}.{public}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_document_names_a_path_of_one_machine(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(?:work|root|home/\w+|tmp)/", text)
