"""A managed disk's export, from Microsoft's own emulator: a page blob behind an address with a signature."""

from __future__ import annotations

import base64
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from forensics.remote.opening import open_remote
from forensics.remote.ranges import RemoteError
from parsers.diagnostics import Diagnostics
from parsers.errors import InputNotFoundError, OpenError
from tests.forensics.disk.ntfs_disks import MIB, mbr_disk, ntfs_volume, run
from tests.forensics.remote.azure_account import BLOB, CONTAINER, PAST, Account, running
from tests.stopcode.cli.run import Stopcode
from tests.stopcode.machines import windows_folder

pytestmark = pytest.mark.peer("azurite-blob", "mkntfs", "wimlib-imagex", "qemu-img")
_ENTRY = "from stopcode.cli.main import entry; entry()"


@dataclass(frozen=True)
class Exported:
    """A disk here, and the same one as a blob.

    Attributes:
        data: (offset, length) of what was put into the blob.

    """

    disk: Path
    account: Account
    data: list[tuple[int, int]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    top = tmp_path_factory.mktemp("azure")
    windows = windows_folder(top / "tree")
    files = {path.relative_to(windows).as_posix(): path for path in windows.rglob("*") if path.is_file()}
    raw, disk = mbr_disk(top / "disk.img", [ntfs_volume(top / "volume", files, mib=256)]), top / "disk.vhd"
    run("qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed,force_size=on", raw, disk)
    (top / "azurite").mkdir()
    with running(top / "azurite") as account:
        yield Exported(disk, account, account.upload(disk))


def secrets(address: str) -> tuple[str, ...]:
    """Return what must not be seen of an address: its signature as it stands there, and as it is meant."""
    query = urlsplit(address).query
    return (query, query.partition("sig=")[2], parse_qs(query)["sig"][0])


@pytest.fixture
def stopcode(capsys: pytest.CaptureFixture[str]) -> Stopcode:
    return Stopcode(capsys)


def test_an_exported_disk_gives_what_the_same_disk_gives_here_for_less_than_its_data(
    exported: Exported, stopcode: Stopcode, tmp_path: Path
) -> None:
    address = exported.account.address()
    named = tmp_path / "address.txt"
    named.write_text(f"{address}\n")
    there = stopcode("scan", "-o", "json", "--url-file", named)
    here = stopcode("scan", "-o", "json", exported.disk)
    assert there.code == here.code
    for part in ("verdict", "facts", "findings", "unjudged", "diagnostics"):
        assert there.document[part] == here.document[part]
    assert there.document["source"]["path"] == address.partition("?")[0]
    written = sum(length for _, length in exported.data)
    assert there.document["stats"]["bytes_read"] < written < exported.disk.stat().st_size // 4
    assert not [secret for secret in secrets(address) if secret in there.out + there.err]


def test_pages_that_were_never_written_are_zeros_without_a_request(exported: Exported) -> None:
    with exported.disk.open("rb") as local, open_remote(exported.account.address(), Diagnostics()) as file:
        assert file.size == exported.disk.stat().st_size
        last = exported.data[-1][0]
        # The list of pages is asked for once, with the first block that is not here.
        file.read_at(last, 512)
        requests = file.requests
        holes = [
            low + length
            for (low, length), (high, _) in zip(exported.data, exported.data[1:], strict=False)
            if high - low - length >= MIB
        ]
        assert holes
        for hole in holes:
            assert file.read_at(hole, MIB) == bytes(MIB)
        assert file.requests == requests
        for offset, length in exported.data:
            local.seek(offset)
            assert file.read_at(offset, length) == local.read(length)


def test_a_process_that_takes_the_address_from_stdin_shows_no_signature_whatever_happens(exported: Exported) -> None:
    good, late = exported.account.address(), exported.account.address(expires=PAST)
    wrong = good.replace("&sig=", "&sig=AAAA")
    for address, told in ((late, PAST), (wrong, "expired or wrong"), (good.replace("disk.vhd", "none.vhd"), "40")):
        done = subprocess.run(
            [sys.executable, "-c", _ENTRY, "scan", "--traceback", "--url-stdin"],
            input=address, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 3
        assert told in done.stderr
        assert not [secret for secret in secrets(address) if secret in done.stdout + done.stderr]


def test_a_disk_that_is_written_to_under_the_scan_is_not_mixed_with_what_it_was(exported: Exported) -> None:
    offset = next(offset for offset, _ in exported.data if offset >= 2 * MIB)
    with exported.disk.open("rb") as local:
        local.seek(offset)
        same = local.read(512)
    diagnostics = Diagnostics()
    with open_remote(exported.account.address(), diagnostics) as file:
        exported.account.write(offset, same)
        with pytest.raises(RemoteError) as caught:
            file.read_at(offset, 512)
    assert caught.value.code == "remote.changed"
    assert [item.code for item in diagnostics.items] == ["remote.changed"]


@pytest.fixture
def store(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> Exported:
    """The same, with an environment that names the account."""
    monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
    monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", exported.account.endpoint.rpartition("/")[0])
    return exported


def test_the_store_itself_is_read_with_the_identity_of_the_environment(store: Exported) -> None:
    with store.disk.open("rb") as local, open_remote(f"az://{CONTAINER}/{BLOB}", Diagnostics()) as file:
        assert file.size == store.disk.stat().st_size
        assert file.read_at(0, 2 * MIB) == local.read(2 * MIB)
    with pytest.raises(InputNotFoundError, match="no such object"):
        open_remote(f"az://{CONTAINER}/none", Diagnostics())


def test_a_name_in_the_store_may_hold_spaces_and_percent_signs(store: Exported) -> None:
    name = "os disk/50% of ü%20.vhd"
    store.account.upload_small(name, b"disk".ljust(1024, b"\0"))
    with open_remote(f"az://{CONTAINER}/{name}", Diagnostics()) as file:
        assert (file.size, file.read_at(0, 4)) == (1024, b"disk")
    with pytest.raises(InputNotFoundError) as caught:
        open_remote(f"az://{CONTAINER}/{name.replace(' ', '%20')}", Diagnostics())
    assert "%20" in caught.value.hint


def test_a_blob_that_is_written_to_under_the_reading_is_told_in_the_store_as_well(store: Exported) -> None:
    said = Diagnostics()
    with store.disk.open("rb") as local, open_remote(f"az://{CONTAINER}/{BLOB}", said) as file:
        first = local.read(512)
        assert file.read_at(0, 512) == first
        store.account.write(0, first)
        with pytest.raises(RemoteError) as caught:
            file.read_at(2 * MIB, 512)
        # What is here is of the disk as it was.
        assert file.read_at(0, 512) == first
    assert caught.value.code == "remote.changed"
    assert [item.code for item in said.items] == ["remote.changed"]


def test_a_store_that_refuses_is_told_without_what_it_was_asked_with(
    store: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = base64.b64encode(b"S3cret" * 8).decode()
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", wrong)
    with pytest.raises(OpenError, match="the store refuses") as refused:
        open_remote(f"az://{CONTAINER}/{BLOB}", Diagnostics())
    told = "".join(traceback.format_exception(refused.value))
    assert not [secret for secret in (wrong, "SharedKey", "x-ms-", "127.0.0.1") if secret in told]
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_KEY")
    # A signature that ends while the disk is read.
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    token = store.account.token(end.strftime("%Y-%m-%dT%H:%M:%SZ"))
    monkeypatch.setenv("AZURE_STORAGE_SAS_KEY", token)
    said = Diagnostics()
    with open_remote(f"az://{CONTAINER}/{BLOB}", said) as file:
        assert file.read_at(0, 512)
        time.sleep((end - datetime.now(UTC)).total_seconds() + 1)
        with pytest.raises(RemoteError) as caught:
            file.read_at(2 * MIB, 512)
    assert caught.value.code == "remote.denied"
    assert not [secret for secret in secrets(f"?{token}") if secret in f"{caught.value}{said.items}"]
