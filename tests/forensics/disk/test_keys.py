"""Keys out of the files that people keep them in, and that none of them is ever shown."""

from __future__ import annotations

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.disk.keys import RecoveryPassword, VolumeKeys, bek_in, passphrase_in, recovery_passwords_in
from parsers.errors import FormatError, StopcodeError
from parsers.limits import MAX_KEYS
from tests.forensics.disk.bitlocker_volumes import Way, bek_file

#: Of the real volume bitlk-aes-xts-128 and its protector.
DIGITS = "235818-357951-253979-013365-241120-245575-342914-591910"
GUID = "64311DEA-4587-4029-924A-BA299647998E"
#: What Windows writes into the file that it offers to save.
SAVED = f"""BitLocker Drive Encryption recovery key

To verify that this is the correct recovery key, compare the start of the following identifier with the identifier
value displayed on your PC.

Identifier:

\t{GUID}

If the above identifier matches the one displayed by your PC, then use the following key to unlock your drive.

Recovery Key:

\t{DIGITS}
"""
MANAGE_BDE = f"""    Numerical Password:
      ID: {{{GUID}}}
      Password:
        {DIGITS}
"""


@pytest.mark.parametrize(
    "data",
    [
        SAVED.replace("\n", "\r\n").encode("utf-16"),
        SAVED.encode("utf-16-le"),
        MANAGE_BDE.encode(),
        f"{DIGITS},{GUID.lower()}".encode("utf-8-sig"),
    ],
)
def test_a_recovery_password_is_found_with_its_identifier_in_what_it_was_kept_in(data: bytes) -> None:
    assert recovery_passwords_in(data) == (RecoveryPassword(DIGITS, (GUID,)),)


@pytest.mark.parametrize("separator", ["-", " ", ""])
def test_the_digits_alone_are_enough(separator: str) -> None:
    assert recovery_passwords_in(f"{DIGITS.replace('-', separator)}\n".encode()) == (RecoveryPassword(DIGITS),)


def test_a_table_gives_every_password_with_the_identifiers_beside_it() -> None:
    other = str(UUID(int=7)).upper()
    found = recovery_passwords_in(f"{GUID};{DIGITS}\n{other};{DIGITS}\n".encode())
    assert [item.near for item in found] == [(GUID, other), (other,)]


def test_a_mistyped_group_is_named_and_not_shown() -> None:
    with pytest.raises(FormatError, match="group 3") as caught:
        recovery_passwords_in(DIGITS.replace("253979", "253978").encode())
    assert "25397" not in caught.value.message


def test_more_passwords_than_anybody_has_are_refused() -> None:
    with pytest.raises(FormatError, match=str(MAX_KEYS)):
        recovery_passwords_in(f"{DIGITS}\n".encode() * (MAX_KEYS + 1))


def test_a_key_file_may_be_written_in_base64() -> None:
    bek = bek_file(Way(0x0200, UUID(int=1)))
    assert bek_in(bek) == bek
    assert bek_in(base64.b64encode(bek) + b"\r\n") == bek
    assert bek_in(base64.urlsafe_b64encode(bek).rstrip(b"=")) == bek


def test_a_secret_that_is_still_wrapped_is_told_from_a_key_file() -> None:
    with pytest.raises(FormatError, match="no BEK file") as caught:
        bek_in(base64.b64encode(bytes(range(256))))
    assert "unwrapped" in caught.value.hint


def test_a_passphrase_is_one_line_and_keeps_its_spaces() -> None:
    assert passphrase_in(b" two words \r\n") == " two words "
    assert passphrase_in("pässword\n".encode("utf-16")) == "pässword"
    for data in (b"", b"\n", b"one\ntwo\n", b"\xff\xfe\x00"):
        with pytest.raises(FormatError):
            passphrase_in(data)


def test_keys_are_never_in_a_repr_and_pass_through_a_pipe_whole() -> None:
    keys = VolumeKeys((b"a key file",), (RecoveryPassword(DIGITS, (GUID,)),), ("secret words",))
    shown = f"{keys!r} {keys} {keys.recovery_passwords!r}"
    assert not any(secret in shown for secret in ("key file", "235818", "secret"))
    assert VolumeKeys.from_plain(keys.to_plain()) == keys


@given(st.binary(max_size=300))
def test_any_bytes_are_keys_or_an_error_that_does_not_show_them(data: bytes) -> None:
    for read in (recovery_passwords_in, passphrase_in, bek_in):
        causes: list[str] = []
        try:
            read(data)
        except StopcodeError as error:
            causes.append(str(error.__cause__))
        assert not any("decode" in cause for cause in causes)
