"""Images at addresses, from the command line: what a signed address shows of itself (nothing), and how a scan ends."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stopcode.cli.exits import Exit
from tests.forensics.remote.server import Files, Handler, after, serving, times
from tests.stopcode.cli.run import Done, Stopcode

TOKEN = "sv=2021-12-02&se=2030-01-01T00%3A00%3A00Z&sp=r&sig=S3cretS3cret"
DISK = "ws2019-failed.vhdx"


@pytest.fixture
def server(built: Callable[[str], Path]) -> Iterator[Files]:
    with serving() as files:
        files.files["/disk.vhdx"] = built(DISK)
        yield files


@pytest.fixture
def listed(server: Files, tmp_path: Path) -> Path:
    """A file with the disk's address."""
    path = tmp_path / "address.txt"
    path.write_text(f"\n  {server.address('/disk.vhdx', TOKEN)}\n")
    return path


def quiet(done: Done) -> Done:
    assert "S3cret" not in done.out + done.err
    return done


def test_a_disk_at_an_address_gives_the_report_of_the_file(
    call: Stopcode, server: Files, listed: Path, built: Callable[[str], Path], tmp_path: Path
) -> None:
    stored = tmp_path / "report.json"
    there = quiet(call("scan", "-v", "-o", "json", "--output", stored, "--progress-json", "--url-file", listed))
    here = call("scan", "-o", "json", built(DISK))
    assert there.code == here.code == Exit.FOUND
    report = json.loads(stored.read_text())
    assert "S3cret" not in stored.read_text()
    for part in ("verdict", "facts", "findings", "unjudged"):
        assert report[part] == here.document[part]
    assert report["source"]["path"] == server.address("/disk.vhdx")
    assert (report["stats"]["bytes_read"], report["stats"]["requests"]) == (server.sent, len(server.asked))
    assert all(target == f"/disk.vhdx?{TOKEN}" for target, _ in server.asked)


def changes(handler: Handler) -> bool:
    handler.server.etag = '"two"'
    return False


def refuses(handler: Handler) -> bool:
    return handler.answer(403)


@pytest.mark.parametrize(("mood", "code"), [(changes, "remote.changed"), (refuses, "remote.denied")])
def test_a_scan_that_loses_its_disk_tells_what_it_has_and_that_the_rest_is_unknown(
    mood: Callable[[Handler], bool], code: str, call: Stopcode, server: Files, listed: Path
) -> None:
    server.moods.append(after(200, mood))
    done = quiet(call("scan", "-o", "json", "--url-file", listed))
    assert done.code == Exit.PARTIAL
    said = [item["code"] for item in done.document["diagnostics"]]
    assert said.count(code) == 1
    # What cannot be had is no damage of the disk.
    assert "boot.store-unreadable" not in said
    assert done.document["facts"]["system"]["build"] == 17763
    assert "/boot/bcd" in {gap["path"] for gap in done.document["facts"]["gaps"]}


def busy(handler: Handler) -> bool:
    return handler.answer(503)


def breaks(handler: Handler) -> bool:
    return handler.reset()


def test_a_server_that_fails_while_the_disk_is_opened_is_to_blame_and_not_the_disk(
    call: Stopcode, server: Files, listed: Path
) -> None:
    ended = 0
    # The container, the partition table, the volumes, their folders, the hives: at every request of them.
    for count in range(1, 40, 2):
        server.moods[:] = [after(count, refuses)]
        done = quiet(call("scan", "--url-file", listed))
        if done.code != Exit.UNREADABLE:
            break
        ended += 1
        assert "the image could not be opened: http" in done.err
        assert "the server refuses with 403" in done.err
        assert "hint: ask for a new address" in done.err
        assert not [word for word in ("no Windows", "damaged", "partition", "not a disk") if word in done.err]
    assert ended > 8  # the bytes of the container come first, those of the hives last
    assert (done.code, "remote.denied" in done.out) == (Exit.PARTIAL, True)


@pytest.mark.parametrize("mood", [busy, breaks])
@pytest.mark.parametrize("count", [1, 9, 14, 20])
def test_a_server_that_dies_while_the_disk_is_opened_is_told_with_what_to_do(
    count: int, mood: Callable[[Handler], bool], call: Stopcode, server: Files, listed: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("forensics.remote.patience._FIRST_WAIT_S", 0.0)
    for verb in ("scan", "rescue"):
        server.moods[:] = [after(count, mood)]
        done = quiet(call(verb, "--url-file", listed))
        assert done.code == Exit.UNREADABLE
        assert "the image could not be opened, for its server failed: http" in done.err
        assert ("503" if mood is busy else "the connection broke") in done.err
        assert "hint: " in done.err
        assert "when the server is well" in done.err
        assert "no Windows" not in done.err


@pytest.mark.realdata
@pytest.mark.parametrize("mood", [refuses, busy])
def test_a_dump_whose_server_fails_is_not_told_as_a_cut_one(
    mood: Callable[[Handler], bool], call: Stopcode, server: Files, shared: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("forensics.remote.patience._FIRST_WAIT_S", 0.0)
    server.files["/one.dmp"] = shared / "data" / "dumps" / "7e_1.dmp"
    address = tmp_path / "dump.txt"
    address.write_text(server.address("/one.dmp", TOKEN))
    whole = quiet(call("scan", "-o", "json", "--url-file", address))
    assert whole.document["facts"]["crashes"][0]["dump"]["complete"]
    assert len(server.asked) > 1
    for count in range(1, len(server.asked)):
        server.moods[:] = [after(count, mood)]
        done = quiet(call("scan", "--url-file", address))
        assert done.code == Exit.UNREADABLE
        assert "the dump could not be read" in done.err
        assert "hint: " in done.err
        assert done.out == ""


def test_what_a_disk_is_ends_where_its_server_does_and_says_so(call: Stopcode, server: Files, listed: Path) -> None:
    server.moods.append(after(3, refuses))
    done = quiet(call("disk", "--url-file", listed))
    assert (done.code, "the server refuses with 403" in done.err) == (Exit.UNREADABLE, True)
    # The container is known, its volumes are not.
    server.moods[:] = [after(14, refuses)]
    done = quiet(call("disk", "-o", "json", "--url-file", listed))
    assert done.code == Exit.PARTIAL
    assert "remote.denied" in [item["code"] for item in done.document["diagnostics"]]
    assert done.document["container"]["kind"] == "VHDX"


def test_a_server_that_fails_once_is_no_damage_of_the_disk_that_is_described(
    call: Stopcode, server: Files, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forensics.remote.patience._FIRST_WAIT_S", 0.0)
    doubted = 0
    for count in (12, 20):
        # One range fails with all its tries; all others come.
        server.moods[:] = [after(count, times(4, busy))]
        done = quiet(call("disk", "-o", "json", "--url-file", listed))
        told = [item["message"] for item in done.document["diagnostics"] if item["severity"] == "error"]
        assert done.code == Exit.PARTIAL
        doubted += any("may be neither" in message for message in told)
    assert doubted == 2


def test_a_server_without_ranges_and_one_that_refuses_end_the_scan(
    call: Stopcode, server: Files, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.moods.append(lambda handler: handler.answer(200, b"whole"))
    done = quiet(call("scan", "--url-file", listed))
    assert (done.code, "no ranges" in done.err) == (Exit.UNREADABLE, True)
    server.moods[:] = [refuses]
    monkeypatch.setattr("sys.stdin", io.StringIO(listed.read_text()))
    done = quiet(call("rescue", "--url-stdin"))
    assert (done.code, "2030-01-01T00:00:00Z" in done.err) == (Exit.UNREADABLE, True)


def test_the_token_is_in_nothing_that_any_verb_writes_whatever_the_server_does(
    call: Stopcode, server: Files, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("forensics.remote.patience._FIRST_WAIT_S", 0.0)
    written = tmp_path / "written"
    written.mkdir()
    for number, words in enumerate(
        (
            ("scan", "-v", "--progress-json"), ("scan", "-o", "json"), ("scan", "-o", "md"),
            ("disk", "-v"), ("disk", "-o", "json"), ("rescue", "-v"), ("rescue", "-o", "json"),
        )
    ):  # fmt: skip
        # Each meets a busy server, a broken connection, and one that asks for a new token.
        server.moods[:] = [times(2, after(1, busy)), times(1, after(8, breaks)), after(60, refuses)]
        output = written / str(number)
        done = quiet(call(*words, "--output", output, "--url-file", listed))
        assert done.code in (Exit.FOUND, Exit.OK, Exit.PARTIAL)
        assert "S3cret" not in output.read_text()
        assert output.stat().st_size > 100
    # A bug of ours that has the address, or a part of it, in its words.
    for text in (server.address("/disk.vhdx", TOKEN), f"no such place: /disk.vhdx?{TOKEN}"):

        def fails(*_: object, text: str = text) -> bytes:
            raise RuntimeError(text)

        monkeypatch.setattr("forensics.remote.http.HttpSource.read_range", fails)
        done = quiet(call("scan", "--url-file", listed))
        assert done.code == Exit.BUG
        log = (tmp_path / "cache" / "stopcode" / "last-error.log").read_text()
        assert "RuntimeError: " in log
        assert "S3cret" not in log
    assert "S3cret" not in caplog.text
    assert server.asked[-1][0].endswith(TOKEN)


def test_what_is_no_address_in_a_list_of_them_is_not_repeated(call: Stopcode, tmp_path: Path) -> None:
    path = tmp_path / "address.txt"
    for text in ("https:/h.example/disk?sig=S3cret", "", "disk.vhdx"):
        path.write_text(text)
        done = quiet(call("scan", "--url-file", path))
        assert done.code == Exit.USAGE
        assert "disk" not in done.err


@pytest.mark.parametrize("verb", ["dump", "batch", "tui"])
def test_a_verb_that_reads_no_addresses_says_who_does_without_the_token(
    verb: str, call: Stopcode, tmp_path: Path
) -> None:
    more = ("--case", tmp_path / "a.case") if verb == "batch" else ()
    done = quiet(call(verb, f"https://h.example/disk.vhd?{TOKEN}", *more))
    assert done.code in (Exit.USAGE, Exit.UNREADABLE)
    assert "stopcode scan" in done.err
