"""Every limit against hostile input, by name; each has a test that hits it.

A count or a length that a file claims is first held against what the file has; these limits stand where the
file alone cannot say what is sane.
"""

from __future__ import annotations

from parsers.errors import FormatError, TruncatedError

__all__ = [
    "MAX_ARCHIVE_DEPTH",
    "MAX_ARCHIVE_DIRECTORY",
    "MAX_ARCHIVE_MEMBERS",
    "MAX_ARCHIVE_UNPACKED",
    "MAX_ARM64_CODES",
    "MAX_ATTRIBUTE_LIST",
    "MAX_BCD_ELEMENTS",
    "MAX_BCD_INHERITED",
    "MAX_BCD_OBJECTS",
    "MAX_BITLOCKER_MAP",
    "MAX_BITLOCKER_METADATA",
    "MAX_BITLOCKER_TRIES",
    "MAX_BITMAP_BITS",
    "MAX_BOOTS",
    "MAX_CHECKED_BLOCKS",
    "MAX_COLLECTION_LIST",
    "MAX_CONTROL_SET",
    "MAX_CRASHES",
    "MAX_DATA_BLOCKS",
    "MAX_DISK_BLOCK",
    "MAX_DISK_CHAIN",
    "MAX_DISK_PARTS",
    "MAX_DRIVER_FILES",
    "MAX_DRIVER_LIST",
    "MAX_DUMP_FILES",
    "MAX_DUMP_PLACES",
    "MAX_DUMP_RANGES",
    "MAX_EVENTS",
    "MAX_EVENT_ERRORS",
    "MAX_EVENT_FIELDS",
    "MAX_EVENT_LOG",
    "MAX_EVENT_TEXT",
    "MAX_EXTENDED_PARTITIONS",
    "MAX_FAT_CHAIN",
    "MAX_FAT_FOLDER",
    "MAX_FILES_OF_GLOB",
    "MAX_FOLDERS_KEPT",
    "MAX_FOLDER_ENTRIES",
    "MAX_FOREIGN_READ",
    "MAX_FORWARD_INSTRUCTIONS",
    "MAX_FULL_CRASHES",
    "MAX_GLOB_ENTRIES",
    "MAX_GPT_ENTRIES",
    "MAX_HASHED_FILE",
    "MAX_HIVE_BLOCKS",
    "MAX_HIVE_BYTES",
    "MAX_HIVE_DEPTH",
    "MAX_HIVE_LOG",
    "MAX_IMAGE_FILES",
    "MAX_JOURNAL_CHANGED",
    "MAX_JOURNAL_COMPARISONS",
    "MAX_JOURNAL_DIRTY_CLUSTERS",
    "MAX_JOURNAL_PAGES",
    "MAX_JOURNAL_RECORDS",
    "MAX_JOURNAL_RECORD_BYTES",
    "MAX_KDBG_SEARCH",
    "MAX_KEYS",
    "MAX_LAYOUT_FOLDERS",
    "MAX_LDM_DATABASE",
    "MAX_LDM_PARTS",
    "MAX_LDM_RECORDS",
    "MAX_LOADED_MODULES",
    "MAX_MEMORY_RUNS",
    "MAX_NTFS_EXTENSIONS",
    "MAX_NTFS_INDEX_DEPTH",
    "MAX_NTFS_RECORDS_KEPT",
    "MAX_OVERLAP_COMPARED",
    "MAX_PACKED_MEMBERS",
    "MAX_PAGE_LIST_BYTES",
    "MAX_PAGE_RANGES",
    "MAX_PARENT_CANDIDATES",
    "MAX_PARENT_NAME",
    "MAX_PCI_DEVICES",
    "MAX_PDATA_EMPTY_RUN",
    "MAX_PDATA_ROWS",
    "MAX_PDB_NAME",
    "MAX_PE_DEBUG_ENTRIES",
    "MAX_PE_EXPORTS",
    "MAX_PE_EXPORT_BYTES",
    "MAX_PE_EXPORT_NAME",
    "MAX_PE_HEADERS",
    "MAX_PE_READ",
    "MAX_PROCESSORS",
    "MAX_PROCESSOR_VALUES",
    "MAX_PROTOTYPE_DEPTH",
    "MAX_REGISTRY_TEXT",
    "MAX_REGISTRY_VALUE",
    "MAX_REPLAY_CHANGES",
    "MAX_REPLAY_CHANGES_KEPT",
    "MAX_RESCUED_DEPTH",
    "MAX_RESCUED_FILES",
    "MAX_SECONDARY_BLOBS",
    "MAX_SERVICES",
    "MAX_SHADOW_BLOCKS",
    "MAX_SHADOW_COPIES",
    "MAX_SMBIOS_STRUCTURES",
    "MAX_SMBIOS_TABLE",
    "MAX_STACK_FRAMES",
    "MAX_STACK_SCAN_BYTES",
    "MAX_STORED_REPORT",
    "MAX_STRING_CHARS",
    "MAX_SWEPT_CODE",
    "MAX_TRIAGE_IN_MEMORY",
    "MAX_UNLOADED_DRIVERS",
    "MAX_UNPACKED_DUMP",
    "MAX_UNPACK_RATIO",
    "MAX_UNWIND_CHAIN",
    "MAX_UPDATES",
    "MAX_VERSION_NODES",
    "MAX_VERSION_RESOURCE",
    "MAX_VHDX_ENTRIES",
    "MAX_VHDX_LOG",
    "MAX_VHDX_METADATA",
    "MAX_WATCHDOG_BYTES",
    "MAX_WHEA_RECORD",
    "MAX_WHEA_SECTIONS",
    "MAX_WOF_CHUNKS_KEPT",
    "MAX_XZ_MEMORY",
    "require",
    "require_count",
]

#: Runs of RAM of one machine (real ones have a few dozen).
MAX_MEMORY_RUNS = 1 << 14
#: Entries walked in PsLoadedModuleList before the list is called endless (crash-dump practice: about 250).
MAX_LOADED_MODULES = 2048
#: Files below folders of dumps that are looked at.
MAX_DUMP_FILES = 100_000
#: Files below a folder of images that are listed.
MAX_IMAGE_FILES = 200_000
#: PCI devices, and instances of one, that the Enum key of a disk is searched through.
MAX_PCI_DEVICES = 4096
#: Bytes of the kernel's image that are searched for its debugger block (the image has some 16 MiB).
MAX_KDBG_SEARCH = 32 << 20
#: Entries of a triage dump's driver list.
MAX_DRIVER_LIST = 4096
#: Entries of the kernel's table of unloaded drivers (the kernel keeps 50).
MAX_UNLOADED_DRIVERS = 64
#: Processors a dump header may claim (Windows supports 2,048).
MAX_PROCESSORS = 2048
#: UTF-16 code units of one name in a dump.
MAX_STRING_CHARS = 1024
#: Bytes of a kernel stack that a scan looks at (the largest stack the kernel gives is 96 KiB on x64).
MAX_STACK_SCAN_BYTES = 0x20000
#: Frames of one stack.
MAX_STACK_FRAMES = 256
#: Instructions that one search for an epilog decodes.
MAX_FORWARD_INSTRUCTIONS = 2000
#: Bytes of a function that are decoded from its beginning to a place in it.
MAX_SWEPT_CODE = 0x4000
#: Bytes of the stacks that the watchdog of deferred calls kept (the kernel's buffer is 260 KiB unless it is told else).
MAX_WATCHDOG_BYTES = 0x100000
#: Chained UNWIND_INFO records of one function.
MAX_UNWIND_CHAIN = 32
#: Unwind codes of one ARM64 function (the format has room for 1,020).
MAX_ARM64_CODES = 1024
#: Bytes of PE headers before the first section.
MAX_PE_HEADERS = 0x10000
#: Rows of one function table (the largest seen in the field, Chromium's, has about 500,000).
MAX_PDATA_ROWS = 1 << 20
#: Empty rows in a row of a function table that a lookup steps over.
MAX_PDATA_EMPTY_RUN = 4096
#: Entries of one image's debug directory that are looked at (compilers write four to eight).
MAX_PE_DEBUG_ENTRIES = 64
#: Bytes of the path of a symbol file.
MAX_PDB_NAME = 1024
#: Exports of one image (ordinals have 16 bits).
MAX_PE_EXPORTS = 0x10000
#: Bytes of one export directory with its names (the kernel's has about 100 KiB).
MAX_PE_EXPORT_BYTES = 16 << 20
#: Bytes of one export's name (decorated C++ names reach 4,096).
MAX_PE_EXPORT_NAME = 4096
#: Nodes under one node of a version resource.
MAX_VERSION_NODES = 1024
#: Bytes of an image that one read gives.
MAX_PE_READ = 16 << 20
#: Bytes of one version resource.
MAX_VERSION_RESOURCE = 0x10000
#: Partitions in the chain of an MBR's extended partition.
MAX_EXTENDED_PARTITIONS = 128
#: Entries of a GPT (Windows makes 128).
MAX_GPT_ENTRIES = 4096
#: Entries that one pattern of a rule looks at.
MAX_GLOB_ENTRIES = 200_000
#: Listings of folders that are kept in memory.
MAX_FOLDERS_KEPT = 64
#: Entries of one folder (a component store has about 30,000).
MAX_FOLDER_ENTRIES = 1 << 20
#: Blocks of a folder's index one below another (three are enough for a million names).
MAX_NTFS_INDEX_DEPTH = 16
#: Bytes of a list of attributes (NTFS allows 256 KiB).
MAX_ATTRIBUTE_LIST = 0x40000
#: Records that describe one file in pieces.
MAX_NTFS_EXTENSIONS = 0x4000
#: File records that are kept in memory.
MAX_NTFS_RECORDS_KEPT = 4096
#: Records of an NTFS journal that are read from its checkpoint on (a log of 64 MiB holds some 300,000).
MAX_JOURNAL_RECORDS = 1 << 19
#: Bytes of one of its records (the tables of a checkpoint are the longest).
MAX_JOURNAL_RECORD_BYTES = 4 << 20
#: Clusters that it says are not written yet, and transactions under way.
MAX_JOURNAL_DIRTY_CLUSTERS = 1 << 18
#: File records and index blocks that its replay holds in memory.
MAX_JOURNAL_PAGES = 1 << 14
#: How often a cluster that is not written yet is held against a range that was freed.
MAX_JOURNAL_COMPARISONS = 1 << 25
#: Bytes of the file records and index blocks that its replay changes, counted at each change.
MAX_JOURNAL_CHANGED = 1 << 29
#: Bytes of one registry hive (the largest seen in the field is below 512 MiB).
MAX_HIVE_BYTES = 2 << 30
#: Blocks of 8 KiB of one hive that are kept (16 MiB).
MAX_HIVE_BLOCKS = 2048
#: Depth of keys in a hive (Windows allows 512).
MAX_HIVE_DEPTH = 512
#: Bytes of one log of a hive (Windows keeps them below some 32 MiB).
MAX_HIVE_LOG = 64 << 20
#: Values that the text of one remark lists of those that the replay of a hive's logs changed; and its data.
MAX_REPLAY_CHANGES = 20
MAX_REPLAY_CHANGES_KEPT = 1000
#: Bytes of one registry value that a collector takes.
MAX_REGISTRY_VALUE = 16 << 20
#: Entries of a triage dump's table of memory blocks (real dumps hold at most 5,000).
MAX_DATA_BLOCKS = 1 << 17
#: Bytes of overlapping memory blocks that are compared with each other.
MAX_OVERLAP_COMPARED = 1 << 20
#: Bytes of a triage dump that are read at once and kept; a larger one is read piece by piece.
MAX_TRIAGE_IN_MEMORY = 16 << 20
#: Members of an archive that are looked at for a dump.
MAX_PACKED_MEMBERS = 1000
#: Bytes of a dump that are unpacked from an archive.
MAX_UNPACKED_DUMP = 4 << 30
#: Times its archive that a dump above 64 MiB may be large (dumps with many empty pages reach about 50).
MAX_UNPACK_RATIO = 200
#: Members of an archive with collected files.
MAX_ARCHIVE_MEMBERS = 1 << 20
#: Folders one below another in an archive (a path of Windows has at most 32,767 characters, real ones a few hundred).
MAX_ARCHIVE_DEPTH = 64
#: Bytes of a zip's directory (300,000 files have about 32 MiB).
MAX_ARCHIVE_DIRECTORY = 32 << 20
#: Bytes that are unpacked of one archive with collected files, all together.
MAX_ARCHIVE_UNPACKED = 16 << 30
#: Clusters of one file of a FAT volume that are followed.
MAX_FAT_CHAIN = 1 << 20
#: Bytes of one folder of a FAT volume (the format allows no more).
MAX_FAT_FOLDER = 2 << 20
#: Bytes of a collector's list of what it uploaded.
MAX_COLLECTION_LIST = 16 << 20
#: Folders that are looked into for a Windows folder among collected files.
MAX_LAYOUT_FOLDERS = 2000
#: Bytes of memory that an .xz archive may ask for (the strongest usual setting asks for 65 MiB).
MAX_XZ_MEMORY = 256 << 20
#: Pages that a dump's bitmap may describe: 16 TiB of RAM, a bitmap of 512 MiB.
MAX_BITMAP_BITS = 1 << 32
#: Page ranges of a dump of type 8, 9 or 0xA.
MAX_DUMP_RANGES = 1 << 20
#: Blobs of secondary data behind a dump (real dumps hold at most 42).
MAX_SECONDARY_BLOBS = 4096
#: CPUID leaves, and registry values of the processor, that a dump's secondary data gives.
MAX_PROCESSOR_VALUES = 1024
#: Bytes and structures of the firmware's table of the machine.
MAX_SMBIOS_TABLE = 1 << 20
MAX_SMBIOS_STRUCTURES = 4096
#: Bytes and sections of one hardware error record (real ones have some 1,000 bytes and three sections).
MAX_WHEA_RECORD = 1 << 20
MAX_WHEA_SECTIONS = 16
#: Prototype page-table entries followed from one address.
MAX_PROTOTYPE_DEPTH = 2
#: Number of a control set (`ControlSet%03d`; 47 was seen).
MAX_CONTROL_SET = 999
#: Characters of one registry text that the facts keep.
MAX_REGISTRY_TEXT = 4096
#: Service keys of one control set (a full server has about 750).
MAX_SERVICES = 8192
#: Driver files of one machine (a full server has about 450).
MAX_DRIVER_FILES = 8192
#: Servicing packages that the facts keep, the newest.
MAX_UPDATES = 1000
#: Files that the facts keep for one pattern of a rule.
MAX_FILES_OF_GLOB = 200
#: Bytes of a file up to which it is hashed for a rule.
MAX_HASHED_FILE = 0x10000
#: Bytes of one event log that are read: of a larger one the newest chunks.
MAX_EVENT_LOG = 64 << 20
#: Damaged records and chunks of one event log after which no more of it is read.
MAX_EVENT_ERRORS = 1000
#: Events that the facts keep, the newest.
MAX_EVENTS = 500
#: Fields of one event, and characters of one field, that the facts keep.
MAX_EVENT_FIELDS = 40
MAX_EVENT_TEXT = 512
#: Boots that the facts keep, the newest.
MAX_BOOTS = 50
#: Dumps that are analysed, the newest; of those, how many keep their whole lists.
MAX_CRASHES = 50
MAX_FULL_CRASHES = 3
#: Places with dumps that one disk lists (Windows keeps 50 small ones).
MAX_DUMP_PLACES = 1000
#: Files that are copied into one zip, and folders below each other that `**` goes into.
MAX_RESCUED_FILES = 10_000
MAX_RESCUED_DEPTH = 32
#: Bytes of one block of a VHD or VHDX (the VHDX format's own limit).
MAX_DISK_BLOCK = 256 << 20
#: Blocks of a disk container whose places are all held against the file and each other before the first read.
MAX_CHECKED_BLOCKS = 1 << 20
#: Bytes of a parent's name in a differencing disk, and of all of a VHDX's parent locator.
MAX_PARENT_NAME = 0x10000
#: Disks of one chain: child, parent, parent's parent.
MAX_DISK_CHAIN = 128
#: Files of one image: extents of a VMDK, segments of an E01, parts of a split raw disk.
MAX_DISK_PARTS = 512
#: Bytes that a reader of another project may ask for at once: tables and runs, whose lengths come from the image.
MAX_FOREIGN_READ = 64 << 20
#: Disks beside a child that are looked at when its parent is not there under its name.
MAX_PARENT_CANDIDATES = 64
#: Entries of a VHDX's region table and of its metadata table (the format's own limit).
MAX_VHDX_ENTRIES = 2047
#: Bytes of a VHDX's metadata region that are read.
MAX_VHDX_METADATA = 1 << 20
#: Unpacked chunks (at most 32 KiB) that are kept of one file compressed by CompactOS.
MAX_WOF_CHUNKS_KEPT = 8
#: Bytes of a VHDX's log (writers make 1 MiB).
MAX_VHDX_LOG = 64 << 20
#: Bytes of one file with stored reports (one machine's report is about 300 KB).
MAX_STORED_REPORT = 256 << 20
#: Objects of a boot configuration store; a real one has 10 to 40.
MAX_BCD_OBJECTS = 4096
#: Elements of one of its objects; a real one has at most 30.
MAX_BCD_ELEMENTS = 1024
#: Objects that one object inherits from, directly or not.
MAX_BCD_INHERITED = 64

#: Bytes of the lists of pages of one remote disk (Azure): 1,000,000 ranges are some 70 MB of XML.
MAX_PAGE_LIST_BYTES = 64 << 20
#: Ranges in them that are kept, 16 bytes each.
MAX_PAGE_RANGES = 1_000_000
#: Bytes of one copy of a BitLocker volume's metadata (Windows sets aside 64 KiB for each).
MAX_BITLOCKER_METADATA = 0x10000
#: Bytes of the map that tells which parts of a volume BitLocker has encrypted (a bit for 8 MiB).
MAX_BITLOCKER_MAP = 16 << 20
#: Keys that are tried at one volume with BitLocker's stretching, which costs about a second each.
MAX_BITLOCKER_TRIES = 16
#: Recovery passwords in one file.
MAX_KEYS = 10_000
#: Bytes of a dynamic disk's database; Windows makes 1 MiB.
MAX_LDM_DATABASE = 8 << 20
#: Records of it; the database that Windows makes has room for fewer, of 128 bytes each.
MAX_LDM_RECORDS = 1 << 13
#: Shadow copies of one volume; Windows keeps at most 512.
MAX_SHADOW_COPIES = 512
#: Blocks of the tables of a shadow copy and of all newer ones; each tells of 508 blocks of 16 KiB: 32 GiB together.
MAX_SHADOW_BLOCKS = 1 << 12
#: Parts of one dynamic volume that are put together; Disk Management makes one for each time that it is extended.
MAX_LDM_PARTS = 1024


def require(data: bytes, length: int, *, format: str, offset: int) -> bytes:
    """Return `data` when it holds at least `length` bytes.

    Raises:
        TruncatedError: fewer bytes are there than the structure at `offset` needs.

    """
    if len(data) < length:
        raise TruncatedError(
            format, "ends too early", offset=offset, expected=f"{length} bytes", found=f"{len(data)} bytes"
        )
    return data


def require_count(count: int, limit: int, *, format: str, what: str, offset: int | None = None) -> int:
    """Return `count` when it lies between 0 and `limit`.

    Raises:
        FormatError: the count is negative or above the limit.

    """
    if not 0 <= count <= limit:
        raise FormatError(format, f"{what} out of range", offset=offset, expected=f"0..{limit}", found=count)
    return count
