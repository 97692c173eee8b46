"""Published stacks of real dumps: `rizinorg/rizin: test/db/formats/dmp/dmp`, "Triage Dump Debug x64" and "arm64".

(SP, module, offset); SP as that debugger prints it: behind the return address. Frames 1 to 7 of x64 are the exception
dispatcher's, frame 8 is the faulting context.
"""

from __future__ import annotations

X64 = [
    (0xFFFF850429890EE8, "ntoskrnl.exe", 0x3F5A80),
    (0xFFFF850429890EF0, "ntoskrnl.exe", 0x40F4E1),
    (0xFFFF850429890F30, "ntoskrnl.exe", 0x3CC052),
    (0xFFFF850429890FA0, "ntoskrnl.exe", 0x3FE942),
    (0xFFFF850429890FD0, "ntoskrnl.exe", 0x32BF97),
    (0xFFFF8504298916F0, "ntoskrnl.exe", 0x32AB86),
    (0xFFFF850429891DB0, "ntoskrnl.exe", 0x407BAC),
    (0xFFFF850429891F90, "ntoskrnl.exe", 0x4031F5),
    (0xFFFF850429892120, "amdppm.sys", 0x334C),
    (0xFFFF850429892150, "amdppm.sys", 0x313F),
    (0xFFFF850429892180, "amdppm.sys", 0x3234),
    (0xFFFF8504298921B0, "amdppm.sys", 0x20E8F),
    (0xFFFF850429892210, "amdppm.sys", 0x283F6),
    (0xFFFF850429892340, "amdppm.sys", 0x1F852),
    (0xFFFF850429892380, "Wdf01000.sys", 0x7C027),
    (0xFFFF8504298923D0, "Wdf01000.sys", 0x16F81),
    (0xFFFF850429892410, "Wdf01000.sys", 0x7B227),
    (0xFFFF850429892460, "Wdf01000.sys", 0x79E21),
    (0xFFFF8504298924A0, "Wdf01000.sys", 0x799DA),
    (0xFFFF850429892530, "Wdf01000.sys", 0x7B6B1),
    (0xFFFF8504298925A0, "Wdf01000.sys", 0x7B47A),
    (0xFFFF850429892630, "Wdf01000.sys", 0x8299E),
    (0xFFFF850429892660, "Wdf01000.sys", 0xCC5F),
    (0xFFFF8504298926D0, "Wdf01000.sys", 0xA866),
    (0xFFFF850429892730, "ntoskrnl.exe", 0x252F55),
    (0xFFFF850429892770, "ntoskrnl.exe", 0x7548A6),
    (0xFFFF8504298927B0, "ntoskrnl.exe", 0x2E0D1E),
    (0xFFFF850429892820, "ntoskrnl.exe", 0x36AB7C),
    (0xFFFF8504298928B0, "ntoskrnl.exe", 0x723760),
    (0xFFFF850429892940, "ntoskrnl.exe", 0x72362F),
    (0xFFFF850429892990, "ntoskrnl.exe", 0x726BDD),
    (0xFFFF850429892A60, "ntoskrnl.exe", 0x7BDF0C),
    (0xFFFF850429892AB0, "ntoskrnl.exe", 0x36C2EC),
    (0xFFFF850429892B70, "ntoskrnl.exe", 0x225975),
    (0xFFFF850429892C10, "ntoskrnl.exe", 0x317E25),
    (0xFFFF850429892C60, "ntoskrnl.exe", 0x3FD0D8),
]

ARM64 = [
    (0xFFFFE00E0E4BC4A0, "ntoskrnl.exe", 0x4DE014),
    (0xFFFFE00E0E4BC4B0, "ntoskrnl.exe", 0x5442A0),
    (0xFFFFE00E0E4BCB20, "ntoskrnl.exe", 0x29FF1C),
    (0xFFFFE00E0E4BCCE0, "ntoskrnl.exe", 0x373340),
    (0xFFFFE00E0E4BCD40, "ntoskrnl.exe", 0x207DE4),
]
