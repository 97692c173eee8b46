"""What collectors need of a disk: its files and its hives, as `forensics.disk` and `parsers.registry` give them.

Protocols, so that a test can put a made-up volume, and a judge another reader of hives, in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from parsers.bytesource import ByteSource
from parsers.errors import StopcodeError

if TYPE_CHECKING:
    from parsers.bcd import BcdStore

__all__ = [
    "BootStore",
    "FileEntry",
    "FileTree",
    "OtherVolume",
    "Reading",
    "RegistryHive",
    "RegistryKey",
    "RegistryValue",
    "Windows",
]

#: Reads something of an image; what it gives is not looked at.
Reading = Callable[[], object]


class RegistryValue(Protocol):
    """One value of a key."""

    @property
    def name(self) -> str:
        """Its name; "" for the unnamed one."""
        ...

    @property
    def type_name(self) -> str:
        """Its type ("REG_DWORD")."""
        ...

    @property
    def data(self) -> bytes:
        """Its bytes; raises FormatError where they are damaged."""
        ...

    @property
    def offset(self) -> int:
        """File offset of its record."""
        ...

    def decoded(self) -> int | str | list[str] | bytes:
        """Return its data by its type; raises FormatError."""
        ...


class RegistryKey(Protocol):
    """One key of a hive."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def last_written(self) -> int:
        """FILETIME of its last change."""
        ...

    @property
    def offset(self) -> int:
        """File offset of its record."""
        ...

    def subkeys(self) -> Iterator[RegistryKey]:
        """Yield the keys below; raises FormatError where the list is damaged."""
        ...

    def values(self) -> Iterator[RegistryValue]:
        """Yield the values; raises FormatError."""
        ...

    def value(self, name: str) -> RegistryValue | None:
        """Return a value, or None when it is not there; raises FormatError."""
        ...

    def subkey(self, name: str) -> RegistryKey | None:
        """Return a key below, or None when it is not there; raises FormatError."""
        ...


class RegistryHive(Protocol):
    """One hive."""

    @property
    def root(self) -> RegistryKey:
        """Its topmost key."""
        ...

    def open_key(self, path: str) -> RegistryKey | None:
        """Return a key by its path below the root, or None when it is not there; raises FormatError."""
        ...


class FileEntry(Protocol):
    """One entry of a folder."""

    @property
    def path(self) -> str:
        """Path on the volume, with the names' own case."""
        ...

    @property
    def name(self) -> str:
        """Its last part."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def modified(self) -> int:
        """FILETIME of the last change of its data; 0 when it is not known."""
        ...

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        ...


class FileTree(Protocol):
    """The files of a volume; names compare without regard to case."""

    def stat(self, path: str) -> FileEntry | None:
        """Return an entry, or None when it is not there; raises StopcodeError.

        Among collected files, which show a part of a volume, what is not there raises NotCollectedError.
        """
        ...

    def open(self, path: str) -> ByteSource:
        """Open a file; raises StopcodeError."""
        ...

    def listdir(self, path: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return a folder's entries, none when it is not there; raises StopcodeError.

        With a list in `damage`, what is damaged of the folder itself is put there instead of raised, and what is sound
        is returned. A folder of collected files always has a NotCollectedError to put there.
        """
        ...

    def glob(self, pattern: str, damage: list[StopcodeError] | None = None) -> Sequence[FileEntry]:
        """Return the entries that match, one level a component; raises StopcodeError; `damage` as with listdir."""
        ...


class OtherVolume(Protocol):
    """A volume of the same image beside that with the Windows folder."""

    @property
    def name(self) -> str:
        """Its drive ("D:") where the registry names one, else "volume 2" by its place on the disk."""
        ...

    @property
    def label(self) -> str:
        """Its label; "" for none."""
        ...

    @property
    def files(self) -> FileTree:
        """Its files."""
        ...


class BootStore(Protocol):
    """A boot configuration store of the image, or a volume that may hold one and cannot be read."""

    @property
    def volume(self) -> str:
        """What its volume is called."""
        ...

    @property
    def path(self) -> str:
        """Its path there; "" of a volume that cannot be read."""
        ...

    @property
    def firmware(self) -> str:
        """The firmware that reads it: "uefi" or "bios"; "" of a volume that cannot be read."""
        ...

    @property
    def store(self) -> BcdStore | None:
        """What it says; None when it cannot be read."""
        ...

    @property
    def problem(self) -> str:
        """Why it cannot be read."""
        ...


class Windows(Protocol):
    """The volume with the Windows folder."""

    @property
    def root(self) -> str:
        r"""The Windows folder on it (`\\Windows`)."""
        ...

    @property
    def files(self) -> FileTree:
        """Its files."""
        ...

    def ahead(self, readings: Iterable[Reading]) -> None:
        """Say which readings will be made soon: of a remote image, what they need is then fetched together.

        A hint that costs nothing where the image is at hand: nothing is called then.
        """
        ...

    def hive(self, name: str) -> RegistryHive:
        """Return a hive; raises StopcodeError."""
        ...

    def resolve(self, image_path: str) -> str | None:
        """Return the volume path of an NT, DOS or ImagePath path, or None when it is on another volume."""
        ...

    def others(self) -> Sequence[OtherVolume]:
        """Return the other volumes of the image whose files can be read."""
        ...

    def elsewhere(self, image_path: str) -> tuple[OtherVolume, str] | None:
        """Return the other volume that a path names, and the path on it; None when no volume of the image has it."""
        ...

    @property
    def identity(self) -> bytes:
        """What MountedDevices, and the boot configuration, call this volume; b"" when it is not known."""
        ...

    @property
    def partitions(self) -> Sequence[bytes]:
        """The same of every partition of the disk."""
        ...

    def boot_stores(self) -> Sequence[BootStore] | None:
        """Return the image's boot configuration stores; None when it has no volume that a firmware boots from."""
        ...
