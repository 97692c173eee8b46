"""Where an Azure page blob holds data: its list of pages, asked for portion by portion; all else is zeros.

Reference: Microsoft Learn, "Get Page Ranges (REST API)": ranges in order, both ends inclusive, multiples of 512; at
most 10,000 an answer since version 2020-10-02, then `NextMarker`. Seen on Azurite 3.35.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable
from xml.parsers.expat import ExpatError, ParserCreate

from parsers.errors import FormatError
from parsers.limits import MAX_PAGE_LIST_BYTES, MAX_PAGE_RANGES

__all__ = ["WINDOW", "PageMap", "parse_page_list"]

#: Bytes of the disk that one list is asked for: a fragmented disk of terabytes has millions of ranges.
WINDOW = 16 << 30
#: start, end, marker, at most this many bytes of XML -> XML; None when the server does not give it.
Ask = Callable[[int, int, str, int], bytes | None]


def parse_page_list(data: bytes) -> tuple[list[tuple[int, int]], str]:
    """Return the ranges (start, end; the end not included) of one answer, and the marker of the next.

    Raises:
        FormatError: no list of pages, ranges out of order, too many of them, or XML with declarations of its own.

    """
    ranges: list[tuple[int, int]] = []
    marker: list[str] = []
    path: list[str] = []
    values: dict[str, str] = {}

    def begin(name: str, _fields: object) -> None:
        path.append(name)
        if len(path) > 4 or (len(path) == 1 and name != "PageList"):
            raise FormatError("page list", "not a list of pages", found=name[:40])
        if name == "PageRange":
            values.clear()

    def end(name: str) -> None:
        path.pop()
        if name != "PageRange":
            return
        start, last = values.get("Start", ""), values.get("End", "")
        if not (start.isdecimal() and last.isdecimal() and len(start) < 20 and len(last) < 20):
            raise FormatError("page list", "a range without numbers")
        one = (int(start), int(last) + 1)
        if one[0] >= one[1] or (ranges and one[0] < ranges[-1][1]):
            raise FormatError("page list", "ranges out of order", found=one)
        if len(ranges) >= MAX_PAGE_RANGES:
            raise FormatError("page list", "too many ranges", expected=f"at most {MAX_PAGE_RANGES}")
        ranges.append(one)

    def text(data: str) -> None:
        name = path[-1]
        if name in ("Start", "End") and len(values.get(name, "")) < 64:
            values[name] = values.get(name, "") + data.strip()
        elif name == "NextMarker":
            marker.append(data)

    def refuse(*_what: object) -> None:
        # Entities can make a small answer a large one, or read files of this machine.
        raise FormatError("page list", "declares a document type, which no list of pages does")

    parser = ParserCreate()
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except ExpatError as error:
        raise FormatError("page list", f"no sound XML: {error}") from error
    return ranges, "".join(marker).strip()


class _Window:
    """What is known of one stretch of the disk: its ranges up to `known`."""

    def __init__(self, start: int) -> None:
        self.starts = array("Q")
        self.ends = array("Q")
        self.known = start
        self.marker = ""


class PageMap:
    """The zeros of a page blob.

    Args:
        size: bytes of the blob.
        ask: asks the server for one portion.

    Attributes:
        problem: why the map is not used any more; "" while it is.

    """

    def __init__(self, size: int, ask: Ask) -> None:
        self._size = size
        self._ask = ask
        self._windows: dict[int, _Window] = {}
        self._count = 0
        self._received = 0
        self.problem = ""

    def is_zero(self, offset: int, length: int) -> bool:
        """Tell whether a range holds no data; asks for what is not known yet."""
        end = min(offset + length, self._size)
        while offset < end and not self.problem:
            stop = min(end, (offset // WINDOW + 1) * WINDOW)
            if not self._is_zero_in(self._window(offset, stop), offset, stop):
                return False
            offset = stop
        return not self.problem

    @staticmethod
    def _is_zero_in(window: _Window, start: int, end: int) -> bool:
        if end > window.known:
            return False
        index = bisect_right(window.starts, start)
        if index and window.ends[index - 1] > start:
            return False
        return index == len(window.starts) or window.starts[index] >= end

    def _window(self, offset: int, end: int) -> _Window:
        number = offset // WINDOW
        window = self._windows.get(number)
        if window is None:
            window = self._windows[number] = _Window(number * WINDOW)
        stop = min((number + 1) * WINDOW, self._size)
        while window.known < end and not self.problem:
            try:
                self._more(window, number * WINDOW, stop)
            except FormatError as error:
                self.problem = error.message
        return window

    def _more(self, window: _Window, start: int, stop: int) -> None:
        data = self._ask(start, stop, window.marker, MAX_PAGE_LIST_BYTES + 1)
        if data is None:
            self.problem = "the server gives no list of pages"
            return
        self._received += len(data)
        if self._received > MAX_PAGE_LIST_BYTES:
            raise FormatError("page list", "too long", expected=f"at most {MAX_PAGE_LIST_BYTES} bytes")
        ranges, marker = parse_page_list(data)
        for low, high in ranges:
            # A range may reach over the window's edges; what is told twice is told alike.
            if window.ends and low < window.ends[-1]:
                raise FormatError("page list", "ranges out of order", found=(low, high))
            window.starts.append(low)
            window.ends.append(high)
        self._count += len(ranges)
        if self._count > MAX_PAGE_RANGES:
            raise FormatError("page list", "too many ranges", expected=f"at most {MAX_PAGE_RANGES}")
        if marker and (not ranges or marker == window.marker):
            raise FormatError("page list", "a marker that leads nowhere")
        window.marker = marker
        window.known = min(ranges[-1][1], stop) if marker else stop
