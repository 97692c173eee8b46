from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.facts import empty_facts
from parsers.errors import StopcodeError
from stopcode.rescue.redact import Redactor, user_names
from tests.forensics.world import FakeFiles


def redactor(
    host: str = "WS2019-APP01", domain: str = "corp.example", users: tuple[str, ...] = ("alice", "al")
) -> Redactor:
    facts = empty_facts()
    facts["system"] = {"hostname": host, "domain": domain}
    return Redactor.of(facts, users)


def test_names_of_the_machine_and_its_people_are_replaced_in_any_case() -> None:
    text, count = redactor().text(r"ws2019-app01.CORP.example C:\Users\Alice\x S-1-5-21-1-2-3-500 S-1-5-18")
    assert text == r"HOST.DOMAIN C:\Users\USER1\x S-1-5-21-ACCOUNT S-1-5-18"
    assert count == 4


def test_a_long_name_goes_inside_of_words_and_a_short_one_as_a_word_alone() -> None:
    made = redactor(host="SRV1")
    assert made.text("backup_WS2019 xalicex corporation SRV1_old asrv1a corp\\x")[0] == (
        "backup_WS2019 xUSER1x corporation HOST_old asrv1a DOMAIN\\x"
    )


def test_names_too_short_to_be_replaced_are_counted() -> None:
    made = redactor()
    assert made.kept == 1
    assert made.text("al")[0] == "al"


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
    ],
)
def test_text_is_cleaned_in_its_own_encoding(encoding: str, mark: bytes) -> None:
    data, count = redactor().data(mark + "Größe: alice\r\n".encode(encoding))
    assert data == mark + "Größe: USER1\r\n".encode(encoding)
    assert count == 1


def test_text_in_the_machines_code_page_keeps_its_other_bytes() -> None:
    assert redactor().data(b"Gr\xf6\xdfe alice")[0] == b"Gr\xf6\xdfe USER1"
    with pytest.raises(StopcodeError, match="code page"):
        redactor(users=("jürgen",)).data(b"Gr\xf6\xdfe j\xfcrgen")


@pytest.mark.parametrize("data", [b"regf\0\0", b"\xff\xfe\0\xd8", b"\xef\xbb\xbf\xff"])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(StopcodeError):
        redactor().data(data)


@given(st.binary(max_size=200))
def test_no_long_name_is_left_in_what_is_given_back(data: bytes) -> None:
    try:
        made, _count = redactor().data(data[:100] + b"ALICE" + data[100:])
    except StopcodeError:
        return
    assert b"alice" not in made.lower()


def test_the_folders_of_people_are_told_from_those_of_everybody() -> None:
    class Folders(FakeFiles):
        def listdir(self, path: str, damage: object = None) -> list[object]:  # type: ignore[override]
            names = ("Public", "Default", "bob", "alice", "Administrator", "desktop.ini")
            return [type("E", (), {"name": name, "is_dir": "." not in name})() for name in names]

    assert user_names(Folders({}, {})) == ["alice", "bob"]  # type: ignore[arg-type]
