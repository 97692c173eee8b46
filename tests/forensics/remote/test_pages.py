"""The list of a page blob's pages, from a server of our own that gives it as Azure says it does, or not at all."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.remote import pages
from forensics.remote.http import HttpSource
from forensics.remote.pages import PageMap, parse_page_list
from parsers.errors import FormatError
from tests.forensics.remote.server import Files, Handler

MIB = 1 << 20
#: As "Get Page Ranges" (Microsoft Learn) shows it.
HEAD = '<?xml version="1.0" encoding="utf-8"?>'


def listed(*ranges: tuple[int, int], marker: str = "", cleared: str = "") -> bytes:
    """Return a list; the ends are inclusive there."""
    inner = "".join(
        f"<PageRange><Start>{low}</Start><End>{high - 1}</End></PageRange>{cleared}" for low, high in ranges
    )
    return f"{HEAD}<PageList>{inner}<NextMarker>{marker}</NextMarker></PageList>".encode()


def test_a_list_gives_its_ranges_and_where_it_goes_on() -> None:
    assert parse_page_list(listed((0, 512), (1024, 4096), marker="a&amp;b")) == ([(0, 512), (1024, 4096)], "a&b")
    assert parse_page_list(b"\xef\xbb\xbf" + listed()) == ([], "")
    cleared = "<ClearRange><Start>512</Start><End>1023</End></ClearRange>"
    assert parse_page_list(listed((0, 512), cleared=cleared)) == ([(0, 512)], "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<PageList>",
        b"<Other/>",
        listed((512, 512)),
        listed((512, 1024), (0, 512)),
        listed((0, 1024), (512, 2048)),
        b"<PageList><PageRange><Start>x</Start><End>1</End></PageRange></PageList>",
        b'<!DOCTYPE PageList [<!ENTITY a "aaaa">]><PageList>&a;</PageList>',
        b"<PageList><a><b><c><d/></c></b></a></PageList>",
    ],
)
def test_what_is_no_sound_list_is_an_error(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_page_list(data)


@pytest.mark.fuzz
@given(st.binary(max_size=200) | st.binary(max_size=40).map(lambda junk: listed((0, 512))[:90] + junk))
def test_any_bytes_give_a_list_or_an_error(data: bytes) -> None:
    with suppress(FormatError):
        parse_page_list(data)


def test_lists_are_asked_for_window_by_window_and_portion_by_portion() -> None:
    window, asked = pages.WINDOW, []
    answers = {
        (0, ""): listed((0, MIB), (2 * MIB, 3 * MIB), marker="more"),
        (0, "more"): listed((window - MIB, window)),
        (window, ""): listed(),
    }

    def ask(start: int, end: int, marker: str, limit: int) -> bytes:
        asked.append((start, marker))
        return answers[start, marker]

    pages_of = PageMap(2 * window, ask)
    assert pages_of.is_zero(MIB, MIB)
    assert not pages_of.is_zero(MIB, MIB + 1)
    assert not pages_of.is_zero(0, 512)
    # The first portion told as far as 3 MiB.
    assert asked == [(0, "")]
    assert pages_of.is_zero(3 * MIB, 5 * MIB)
    assert not pages_of.is_zero(window - 512, 1024)
    assert pages_of.is_zero(window, window)
    assert asked == [(0, ""), (0, "more"), (window, "")]
    assert pages_of.problem == ""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "gives no list"),
        (b"<no", "XML"),
        (listed(marker="again"), "leads nowhere"),
        (listed((0, 512), (1024, 2048), (4096, 8192)), "too many ranges"),
        (listed((0, 512)).ljust(2000), "too long"),
    ],
    ids=["none", "broken", "circle", "ranges", "bytes"],
)
def test_a_map_that_cannot_be_had_says_of_nothing_that_it_is_zero(
    answer: bytes | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "MAX_PAGE_RANGES", 2)
    monkeypatch.setattr(pages, "MAX_PAGE_LIST_BYTES", 1000)
    count = []

    def ask(*_words: object) -> bytes | None:
        count.append(1)
        return answer

    pages_of = PageMap(1 << 40, ask)
    assert not pages_of.is_zero(1 << 30, MIB)
    assert not pages_of.is_zero(1 << 38, MIB)
    assert why in pages_of.problem
    assert len(count) == 1


@pytest.mark.parametrize("gives", [True, False])
def test_a_page_blob_is_asked_for_its_list_and_another_file_is_not(gives: bool, server: Files) -> None:
    server.files["/disk"] = bytes(300_000)
    server.fields["x-ms-blob-type"] = "PageBlob" if gives else "BlockBlob"
    asked = []

    def pagelist(handler: Handler) -> bool:
        query = parse_qs(urlsplit(handler.path).query)
        if "comp" not in query:
            return False
        asked.append(
            (query, handler.headers["x-ms-range"], handler.headers["x-ms-version"], handler.headers["If-Match"])
        )
        return handler.answer(200, listed((0, 65_536)))

    server.moods.append(pagelist)
    source = HttpSource(server.address("/disk", "sig=S3cret"))
    assert source.is_zero(100_000, 1000) is gives
    if gives:
        query = {"sig": ["S3cret"], "comp": ["pagelist"]}
        assert asked == [(query, "bytes=0-299999", "2021-12-02", '"one"')]
    source.close()
