"""Verdicts on synthetic crashes: what each bug check's evidence says, and what it must not say."""

from __future__ import annotations

import struct
import uuid

import pytest

from tests.forensics.crash.machines import (
    DRIVER_BASE,
    NT,
    POOL,
    PROCESS,
    RSP,
    STACK_TOP,
    WDF_BASE,
    context_x64,
    crash_of,
    device,
    irp,
    secondary,
    server2019,
    trap_frame,
    waiting_thread,
)
from tests.parsers.dump.test_whea import record

KMDF_TABLE = bytes.fromhex("4c4a7ef8a1c52f4dbff0d5de63a5e4c3")
FRAME = STACK_TOP - 0x390


def test_a_person_stopped_the_machine() -> None:
    for code in (0xE2, 0x1C8, 0x21C8, 0xDEADDEAD, 0x161):
        culprit = crash_of(server2019(), code)["culprit"]
        assert (culprit["kind"], culprit["module"], culprit["confidence"]) == ("manual", None, "high")


def test_a_lost_boot_volume_is_boot_and_blames_no_driver() -> None:
    crash = crash_of(server2019(), 0x7B, (POOL, 0xFFFFFFFFC0000034, 0, 0))
    assert crash["culprit"]["kind"] == "boot"
    assert crash["culprit"]["module"] is None
    assert any("STATUS_OBJECT_NAME_NOT_FOUND" in line for line in crash["culprit"]["because"])


def test_a_dead_process_is_named_by_its_object() -> None:
    culprit = crash_of(server2019(), 0xEF, (PROCESS, 0, 0, 0))["culprit"]
    assert (culprit["kind"], culprit["module"]) == ("process", None)
    assert any("svchost.exe" in line for line in culprit["because"])


def test_a_trap_frame_with_the_named_rip_is_the_fault_of_0xd1() -> None:
    machine = server2019()
    rip, touched = DRIVER_BASE + 0x1234, 0xFFFFC08B00001000
    # A stale frame of an earlier fault lies deeper; the true one has the Rip that parameter 4 names.
    machine.put(RSP + 0x20, trap_frame(NT + 0x5000, RSP + 0x20 + 0x190, fault=0x1234))
    machine.put(RSP + 0x1C0, trap_frame(rip, RSP + 0x1C0 + 0x190, fault=touched, rcx=0x77))
    crash = crash_of(machine, 0xD1, (touched, 2, 0, rip))
    context = crash["context"]
    assert (context["origin"], context["fault"], context["address"]) == ("trap-frame", True, f"{RSP + 0x1C0:#x}")
    assert context["registers"]["rcx"] == "0x77"
    assert crash["stack"][0]["offset"] == "0x1234"
    culprit = crash["culprit"]
    assert (culprit["kind"], culprit["module"], culprit["confidence"]) == ("driver", "vmstorfl.sys", "high")


def test_a_trap_frame_with_another_rip_blames_nobody() -> None:
    machine = server2019()
    machine.put(RSP + 0x1C0, trap_frame(WDF_BASE + 0x2000, RSP + 0x1C0 + 0x190, fault=0x1234))
    crash = crash_of(machine, 0xD1, (0x10, 2, 0, NT + 0x7000))
    assert crash["context"]["fault"] is False
    assert any("registers at the fault are not in the dump" in gap for gap in crash["gaps"])


def test_an_address_parameter_in_a_driver_is_medium_without_a_context() -> None:
    crash = crash_of(server2019(), 0xD1, (0x10, 2, 0, DRIVER_BASE + 0x1234))
    culprit = crash["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("vmstorfl.sys", "medium")


def test_0x3b_takes_the_context_that_parameter_3_points_to() -> None:
    machine = server2019()
    machine.put(POOL, context_x64(DRIVER_BASE + 0x2222, RSP + 0x100, rdi=5))
    crash = crash_of(machine, 0x3B, (0xC0000005, DRIVER_BASE + 0x2222, POOL, 0))
    assert crash["context"]["where"].startswith("CONTEXT at parameter 3")
    assert crash["culprit"]["module"] == "vmstorfl.sys"
    assert crash["culprit"]["confidence"] == "high"


def test_a_record_that_is_no_context_is_not_believed() -> None:
    machine = server2019()
    machine.put(POOL, bytes(0x4D0))
    crash = crash_of(machine, 0x3B, (0xC0000005, NT + 0x2222, POOL, 0))
    assert crash["context"]["fault"] is False


def test_a_fault_in_a_former_driver_names_the_unloaded_one() -> None:
    machine = server2019()
    rip = 0xFFFFF80131001234
    machine.put(POOL, context_x64(rip, RSP + 0x100))
    crash = crash_of(machine, 0x3B, (0xC0000005, rip, POOL, 0))
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("old.sys", "high")


def test_the_kernel_alone_names_nobody() -> None:
    machine = server2019()
    machine.put(RSP, struct.pack("<Q", NT + 0x5001))
    crash = crash_of(machine, 0xA, (0x10, 2, 0, NT + 0x5555))
    assert crash["culprit"]["kind"] == "unknown"
    assert crash["culprit"]["module"] is None
    assert crash["culprit"]["confidence"] == "none"


def test_a_driver_on_a_scanned_stack_is_low_at_most() -> None:
    machine = server2019()
    machine.put(STACK_TOP - 0x300, struct.pack("<Q", DRIVER_BASE + 0x1500))
    # The header's context is not at the entry of KeBugCheckEx: nothing above it is exact.
    crash = crash_of(machine, 0xA, (0x10, 2, 0, NT + 0x5555))
    culprit = crash["culprit"]
    assert culprit["confidence"] in ("none", "low")


def test_the_caller_of_kebugcheckex_is_exact_when_the_arguments_show_it() -> None:
    machine = server2019()
    parameters = (0x11, 0x22, 0x33, 0x44)
    machine.put(RSP, struct.pack("<QQQQQQ", DRIVER_BASE + 0x1301, 0x1234, *parameters))
    registers = {"rcx": 0x12E, "rdx": 0x11, "r8": 0x22, "r9": 0x33}
    crash = crash_of(machine, 0x12E, parameters, context=context_x64(NT + 0x1B4FA0, RSP, **registers))
    assert crash["stack"][1]["confidence"] == "exact"
    culprit = crash["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("vmstorfl.sys", "high")
    assert "raised this bug check itself" in culprit["because"][0]


@pytest.mark.parametrize(("kind", "sure"), [(0, "medium"), (1, "low")])
def test_a_watchdog_that_added_up_many_calls_is_less_sure_of_the_last(kind: int, sure: str) -> None:
    machine = server2019()
    parameters = (kind, 0x501, 0x500, 0)
    # KeBugCheckEx, called by the kernel, called by the driver: both words are return addresses by their calls.
    machine.put(RSP, struct.pack("<QQQQQQ", NT + 0x5005, 0, *parameters))
    machine.put(NT + 0x5000, bytes.fromhex("e800000000") + bytes.fromhex("4883c428c3"))
    machine.put(RSP + 8 + 0x28, struct.pack("<Q", DRIVER_BASE + 0x1305))
    machine.put(DRIVER_BASE + 0x1300, bytes.fromhex("e800000000") + bytes.fromhex("4883c428c3"))
    machine.put(0xFFFFC08BDC0011F0 + 0x10, struct.pack("<QI", NT + 0x2000, 12))
    machine.put(NT + 0x2000, struct.pack("<III", 0x5000, 0x500A, 0x3000))
    machine.put(NT + 0x3000, bytes.fromhex("0104010004420000"))
    registers = {"rcx": 0x133, "rdx": kind, "r8": 0x501, "r9": 0x500}
    crash = crash_of(machine, 0x133, parameters, context=context_x64(NT + 0x1B4FA0, RSP, **registers))
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", sure)


def test_one_flipped_bit_is_memory_and_two_are_not() -> None:
    one = crash_of(server2019(), 0x1A, (0x41792, 0xFFFFAB8103853048, 1 << 37, 0))["culprit"]
    assert (one["kind"], one["module"]) == ("hardware", None)
    two = crash_of(server2019(), 0x1A, (0x41792, 0xFFFFAB8103853048, 3 << 37, 0))["culprit"]
    assert (two["kind"], two["module"], two["confidence"]) == ("unknown", None, "none")


def test_a_machine_check_is_hardware_with_its_bank() -> None:
    machine = server2019()
    record = bytearray(0x80 + 0x48)
    record[:4] = b"CPER"
    struct.pack_into("<H", record, 0x0A, 1)
    record[0x90:0xA0] = bytes.fromhex("1411bca5646fde4eb8633e83ed7c83b1")
    machine.put(POOL, bytes(record))
    culprit = crash_of(machine, 0x124, (0, POOL, 0xBE000000, 0x00000090))["culprit"]
    assert (culprit["kind"], culprit["confidence"]) == ("hardware", "high")
    words = " ".join(culprit["because"])
    assert "sections: memory" in words
    assert "memory controller" in words


def test_a_pci_express_error_names_the_device_and_no_driver() -> None:
    body = struct.pack("<QIIHHIHH3sBBHBBHB", 0xF, 4, 0x101, 0, 0, 0, 0x144D, 0xA808, b"\2\x08\1", 0, 0, 0, 3, 0, 0, 0)
    machine = server2019()
    machine.put(POOL, record(("d995e954-bbc1-430f-ad91-b44dcb3c6f35", body)))
    crash = crash_of(machine, 0x124, (4, POOL, 0, 0))
    assert (crash["culprit"]["kind"], crash["culprit"]["module"]) == ("hardware", None)
    words = " ".join(crash["culprit"]["because"])
    assert "device 0000:03:00.0" in words
    assert "PCI\\VEN_144D&DEV_A808" in words
    assert crash["hardware_error"]["accused"] == "a device on PCI Express"


@pytest.mark.parametrize("status", [0xC000000E, 0xC0000185])
def test_a_page_that_storage_did_not_give_back_is_storage(status: int) -> None:
    culprit = crash_of(server2019(), 0x7A, (1, 0xFFFFFFFF00000000 | status, 0, 0))["culprit"]
    assert (culprit["kind"], culprit["module"], culprit["confidence"]) == ("hardware", None, "medium")


def test_damaged_pool_names_only_the_finder() -> None:
    crash = crash_of(server2019(), 0x19, (0x20, 0, 0, 0))
    assert crash["culprit"]["kind"] == "unknown"
    assert crash["culprit"]["module"] is None


@pytest.mark.parametrize("code", [0x19, 0xC2, 0xC5, 0x13A, 0x1A, 0x4E, 0x109, 0x7A, 0x77, 0x154])
def test_who_only_finds_damage_is_never_named_even_by_an_exact_stack(code: int) -> None:
    machine = server2019()
    parameters = (0x99, 0x22, 0x33, 0x44)
    machine.put(RSP, struct.pack("<QQQQQQ", DRIVER_BASE + 0x1301, 0x1234, *parameters))
    registers = {"rcx": code, "rdx": 0x99, "r8": 0x22, "r9": 0x33}
    crash = crash_of(machine, code, parameters, context=context_x64(NT + 0x1B4FA0, RSP, **registers))
    assert (crash["stack"][1]["module"], crash["stack"][1]["confidence"]) == ("vmstorfl.sys", "exact")
    assert (crash["culprit"]["kind"], crash["culprit"]["module"]) == ("unknown", None)
    assert any("vmstorfl.sys+0x1301 on the stack" in line for line in crash["culprit"]["others"])


@pytest.mark.parametrize(
    ("code", "accuses"),
    [
        ("0f22c8", False),  # mov cr1, rax: there is no CR1
        ("0f23e0", False),  # mov dr4, rax: illegal where CR4.DE is set
        ("8ec8", False),  # mov cs, eax
        ("f30f01e8", False),  # setssbsy: of shadow stacks alone
        ("4889d8", True),  # mov rax, rbx
        ("0f94c0", True),  # sete al
    ],
)
def test_only_an_instruction_that_no_sound_processor_refuses_accuses_the_processor(code: str, accuses: bool) -> None:
    machine = server2019()
    rip = DRIVER_BASE + 0x2222
    machine.put(rip, bytes.fromhex(code).ljust(16, b"\x90"))
    machine.put(POOL, context_x64(rip, RSP))
    culprit = crash_of(machine, 0x3B, (0xC000001D, rip, POOL, 0))["culprit"]
    assert (culprit["kind"] == "hardware") is accuses


def test_a_display_driver_is_named_by_parameter_2() -> None:
    culprit = crash_of(server2019(), 0x116, (POOL, DRIVER_BASE + 0x100, 0xC000009A, 4))["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("vmstorfl.sys", "high")
    assert any("graphics card itself" in line for line in culprit["against"])


def test_a_live_dump_of_a_display_driver_still_names_it() -> None:
    crash = crash_of(server2019(), 0x117, (POOL, DRIVER_BASE + 0x100, 0, 4), attributes=0x18)
    culprit = crash["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("vmstorfl.sys", "high")
    assert any("went on running" in line for line in culprit["against"])


def test_a_live_dump_that_names_nothing_accuses_nobody() -> None:
    culprit = crash_of(server2019(), 0x1A8, (0, 0, 0, 0), attributes=0x18)["culprit"]
    assert (culprit["kind"], culprit["module"]) == ("manual", None)


def test_a_blocked_irp_passes_from_class_driver_to_port_driver() -> None:
    machine = server2019()
    device(machine, POOL + 0x3000, POOL + 0x3800, DRIVER_BASE, "\\Driver\\storflt")
    device(machine, POOL + 0x1000, POOL + 0x1800, WDF_BASE, "\\Driver\\Wdf01000", below=POOL + 0x3000)
    irp(machine, POOL, POOL + 0x1000)
    culprit = crash_of(machine, 0x9F, (3, POOL + 0x3000, 0, POOL))["culprit"]
    assert (culprit["kind"], culprit["module"], culprit["confidence"]) == ("driver", "vmstorfl.sys", "medium")
    assert any("\\Driver\\storflt" in line for line in culprit["because"])
    assert any("Wdf01000.sys" in line for line in culprit["others"])


def test_among_carriers_alone_the_holder_of_the_irp_is_a_hint_and_the_bus_below_it_is_not_named() -> None:
    machine = server2019()
    device(machine, POOL + 0x3000, POOL + 0x3800, NT, "\\Driver\\pci")
    device(machine, POOL + 0x1000, POOL + 0x1800, WDF_BASE, "\\Driver\\Wdf01000", below=POOL + 0x3000)
    irp(machine, POOL, POOL + 0x1000)
    culprit = crash_of(machine, 0x9F, (3, POOL + 0x3000, 0, POOL))["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("Wdf01000.sys", "low")
    assert not any("does the work" in line for line in culprit["because"])
    assert any("mostly carry" in line for line in culprit["against"])


def test_devices_that_are_attached_in_a_circle_end() -> None:
    machine = server2019()
    device(machine, POOL + 0x1000, POOL + 0x1800, WDF_BASE, "\\Driver\\a", below=POOL + 0x3000)
    device(machine, POOL + 0x3000, POOL + 0x3800, WDF_BASE, "\\Driver\\b", below=POOL + 0x1000)
    irp(machine, POOL, POOL + 0x1000)
    assert crash_of(machine, 0x9F, (3, POOL + 0x3000, 0, POOL))["culprit"]["module"] == "Wdf01000.sys"


def test_a_framework_violation_names_the_client_of_the_table() -> None:
    globals_ = POOL + 0x5550
    rows = struct.pack("<QIII32s4x", 0, 1, 27, 17763, b"KMDF")
    rows += struct.pack("<QIII32s4x", globals_, 1, 15, 0, b"vmstorfl\0stale")
    # Secondary data stands behind the pages of the dump.
    crash = crash_of(server2019(), 0x10D, (5, 0, 0, globals_), tail=secondary([(KMDF_TABLE, rows)]))
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "high")


def test_a_framework_violation_without_a_table_takes_the_log_that_the_framework_kept() -> None:
    log = uuid.UUID("54c84888-01d1-4c1e-bed6-282c98241303").bytes_le
    body = bytes(0x24) + b"vmstorfl".ljust(32, b"\0") + bytes(0x100)
    crash = crash_of(server2019(), 0x10D, (5, 0, 0, POOL), tail=secondary([(log, body)]))
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "medium")
    assert crash["dump"]["streams"][0]["name"] == "Wdf01000: log of one framework driver"
    other = bytes(0x24) + b"Wdf01000".ljust(32, b"\0") + bytes(0x100)
    culprit = crash_of(server2019(), 0x10D, (5, 0, 0, POOL), tail=secondary([(log, other)]))["culprit"]
    assert not any("log" in line for line in culprit["because"])


def test_a_jump_to_nowhere_names_the_caller() -> None:
    machine = server2019()
    machine.put(DRIVER_BASE + 0x1200, bytes.fromhex("ff1500000000") + b"\x90" * 16)
    machine.put(RSP + 0x100, struct.pack("<Q", DRIVER_BASE + 0x1206))
    machine.put(POOL, context_x64(0xFFFFF80155550000, RSP + 0x100))
    crash = crash_of(machine, 0x3B, (0xC0000005, 0xFFFFF80155550000, POOL, 0))
    assert crash["stack"][1]["method"] == "inferred"
    assert crash["stack"][1]["confidence"] == "likely"
    assert crash["culprit"]["module"] == "vmstorfl.sys"
    assert crash["culprit"]["confidence"] == "low"


def test_a_jump_to_nowhere_without_a_call_in_sight_is_a_guess() -> None:
    machine = server2019()
    machine.put(RSP + 0x100, struct.pack("<Q", DRIVER_BASE + 0x1206))
    machine.put(POOL, context_x64(0xFFFFF80155550000, RSP + 0x100))
    crash = crash_of(machine, 0x3B, (0xC0000005, 0xFFFFF80155550000, POOL, 0))
    assert (crash["stack"][1]["method"], crash["stack"][1]["confidence"]) == ("inferred", "guess")
    assert crash["culprit"]["confidence"] == "low"


def test_a_live_dump_is_no_crash() -> None:
    culprit = crash_of(server2019(), 0x1A8, attributes=0x10)["culprit"]
    assert culprit["kind"] == "manual"
    assert "went on running" in culprit["because"][0]


def test_every_verdict_says_why() -> None:
    for code in (
        0x1,
        0xA,
        0x1A,
        0x1E,
        0x24,
        0x50,
        0x7B,
        0x7E,
        0x9F,
        0xC2,
        0xD1,
        0xEF,
        0x101,
        0x109,
        0x10D,
        0x116,
        0x124,
        0x133,
    ):
        crash = crash_of(server2019(), code)
        culprit = crash["culprit"]
        assert culprit["because"]
        assert culprit["confidence"] in ("high", "medium", "low", "none")
        assert (culprit["module"] is None) == (culprit["kind"] != "driver")


def test_a_hung_processor_is_read_by_its_own_context() -> None:
    machine = server2019()
    # The first processor's block points to a CONTEXT of its own.
    hung = 0xFFFFF80110A01180 - 0x100000
    machine.put(hung + 0x7000, context_x64(DRIVER_BASE + 0x4321, STACK_TOP - 0x200))
    crash = crash_of(machine, 0x101, (0xC, 0, hung, 0))
    assert "hung processor" in crash["context"]["where"]
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "medium")


def test_the_processor_that_noticed_a_hang_is_not_blamed() -> None:
    culprit = crash_of(server2019(), 0x101, (0xC, 0, POOL, 0))["culprit"]
    assert (culprit["kind"], culprit["module"]) == ("unknown", None)


def test_an_execution_of_data_takes_the_trap_frame_of_parameter_3() -> None:
    machine = server2019()
    machine.put(DRIVER_BASE + 0x1200, bytes.fromhex("ff1500000000") + b"\x90" * 16)
    machine.put(RSP + 0x300, struct.pack("<Q", DRIVER_BASE + 0x1206))
    machine.put(RSP + 0x40, trap_frame(POOL + 0x100, RSP + 0x300, fault=POOL + 0x100))
    crash = crash_of(machine, 0xFC, (POOL + 0x100, 0x8000000012345963, RSP + 0x40, 2))
    assert crash["context"]["ip"] == f"{POOL + 0x100:#x}"
    assert crash["stack"][1]["module"] == "vmstorfl.sys"


def test_the_thread_that_holds_the_lock_of_pnp_is_unwound() -> None:
    machine = server2019()
    waiting_thread(machine, POOL, POOL + 0x4000, DRIVER_BASE + 0x1305)
    crash = crash_of(machine, 0x9F, (4, 300, POOL, POOL + 0x800))
    assert (crash["context"]["origin"], crash["context"]["fault"]) == ("switch-frame", False)
    assert crash["stack"][1]["offset"] == "0x1305"
    assert crash["stack"][1]["method"] == "exact"
    culprit = crash["culprit"]
    assert (culprit["module"], culprit["confidence"]) == ("vmstorfl.sys", "medium")
    assert "parameter 3" in culprit["because"][0]


def test_the_thread_of_a_power_callback_that_hangs_is_unwound_and_its_client_named() -> None:
    machine = server2019()
    waiting_thread(machine, POOL, POOL + 0x4000, DRIVER_BASE + 0x1305)
    machine.put(POOL + 0x1000, struct.pack("<IIQQQ", 0x320, 0x51, 0, 0, POOL))
    rows = struct.pack("<QIII32s4x", POOL + 0x5550, 1, 15, 0, b"vmstorfl")
    tail = secondary([(KMDF_TABLE, rows)])
    crash = crash_of(machine, 0x10D, (1, POOL + 0x1000, 0, POOL + 0x5550), tail=tail)
    assert (crash["culprit"]["module"], crash["culprit"]["confidence"]) == ("vmstorfl.sys", "high")
    assert crash["stack"][1]["module"] == "vmstorfl.sys"


def test_a_switch_frame_without_a_call_before_its_place_is_not_believed() -> None:
    machine = server2019()
    waiting_thread(machine, POOL, POOL + 0x4000, DRIVER_BASE + 0x1305)
    machine.put(NT + 0x4FFD, bytes(8))
    assert crash_of(machine, 0x9F, (4, 300, POOL, POOL + 0x800))["context"]["origin"] == "header"


def test_a_framework_that_misses_an_interface_names_no_client() -> None:
    # WDF_API_UNAVAILABLE: parameter 4 is a number there, not the client's block.
    rows = struct.pack("<QIII32s4x", 7, 1, 15, 0, b"vmstorfl")
    crash = crash_of(server2019(), 0x10D, (0x10, POOL, POOL, 7), tail=secondary([(KMDF_TABLE, rows)]))
    assert crash["culprit"]["confidence"] in ("none", "low")


@pytest.mark.parametrize("number", [1, 2])
def test_a_kernel_stack_that_storage_did_not_give_back_is_storage(number: int) -> None:
    parameters = tuple(0xC000009D if place == number else 5 for place in (1, 2, 3, 4))
    culprit = crash_of(server2019(), 0x77, parameters)["culprit"]  # type: ignore[arg-type]
    assert (culprit["kind"], culprit["module"], culprit["confidence"]) == ("hardware", None, "medium")


def test_a_page_that_was_refused_for_another_reason_names_only_the_victim() -> None:
    culprit = crash_of(server2019(), 0x7A, (1, 0xC0000005, PROCESS, 0))["culprit"]
    assert (culprit["kind"], culprit["module"]) == ("unknown", None)


def test_an_unanswered_health_check_names_the_process_that_was_waited_for() -> None:
    culprit = crash_of(server2019(), 0x9E, (PROCESS, 60, 5, 0))["culprit"]
    assert (culprit["kind"], culprit["module"]) == ("process", None)
    assert any("svchost.exe" in line for line in culprit["because"])
    assert any("storage or the network" in line for line in culprit["against"])


def test_a_dead_process_tells_the_image_that_parameter_3_names() -> None:
    machine = server2019()
    machine.put(POOL, b"csrss.exe\0")
    culprit = crash_of(machine, 0xF4, (3, PROCESS, POOL, 0))["culprit"]
    assert culprit["kind"] == "process"
    assert any("csrss.exe" in line for line in culprit["because"])


def test_each_place_is_passed_over_once() -> None:
    machine = server2019()
    machine.put(POOL, context_x64(WDF_BASE + 0x2222, RSP + 0x100))
    culprit = crash_of(machine, 0x3B, (0xC0000005, WDF_BASE + 0x2222, POOL, 0))["culprit"]
    places = [line for line in culprit["others"] if "Wdf01000.sys+0x2222" in line]
    assert len(places) <= 1
