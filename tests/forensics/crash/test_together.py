"""What several dumps of one machine say together."""

from __future__ import annotations

from typing import Any

from forensics.crash.together import together


def crash(
    item: str, machine: str, bucket: str, *, code: str = "0x1a", module: str = "", bits: tuple[int, ...] = ()
) -> Any:
    return {
        "item": item,
        "bucket": bucket,
        "bugcheck": {"code": code},
        "culprit": {"module": module or None},
        "hardware": {"fingerprint": machine} if machine else {},
        "flipped_bits": [{"bit": bit, "where": "somewhere"} for bit in bits],
    }


def test_the_same_wrong_bit_in_two_dumps_of_one_machine_is_told() -> None:
    found = together(
        [crash("a", "m1", "x", bits=(37,)), crash("b", "m1", "y", bits=(37, 4)), crash("c", "m2", "x", bits=(37,))]
    )
    assert [group["fingerprint"] for group in found] == ["m1", "m2"]
    assert len(found[0]["says"]) == 1
    assert found[0]["says"][0].startswith("bit 37 is wrong in 2 dumps")
    assert found[1]["says"] == []


def test_the_same_bit_on_different_or_unknown_machines_says_nothing() -> None:
    found = together(
        [crash("a", "", "x", bits=(37,)), crash("b", "", "x", bits=(37,)), crash("c", "m2", "x", bits=(37,))]
    )
    assert all(group["says"] == [] for group in found)
    assert [group["fingerprint"] for group in found] == ["m2", ""]


def test_many_different_faults_of_one_machine_accuse_it() -> None:
    many = [crash(str(n), "m", f"b{n}", code=hex(n), module=f"d{n}.sys") for n in range(5)]
    assert "before any driver" in together(many)[0]["says"][0]
    same = [crash(str(n), "m", "one", code="0xd1", module="d.sys") for n in range(5)]
    assert together(same)[0]["says"] == []
    assert together(same)[0]["buckets"] == {"one": 5}


def test_one_driver_behind_different_problems_is_what_they_have_in_common() -> None:
    dumps = [crash(str(n), "m", f"b{n}", code=hex(0xD1 + n), module="net.sys") for n in range(5)]
    assert together(dumps)[0]["says"] == ["all 5 accuse net.sys, in 5 different problems"]
    assert together([*dumps[:2], crash("x", "m", "b9", module="other.sys")])[0]["says"] == []
    assert together([*dumps[:2], crash("x", "m", "b9")])[0]["says"] == []


def test_crashes_that_all_came_at_the_start_are_told() -> None:
    dumps = [{**crash(str(n), "m", "one", module="d.sys"), "uptime_s": 20.0 + n} for n in range(3)]
    assert together(dumps)[0]["says"] == ["all 3 came within 22 s of the start of Windows"]
    assert together([*dumps, {**dumps[0], "uptime_s": 3600.0}])[0]["says"] == []
    assert together([*dumps, crash("x", "m", "one", module="d.sys")])[0]["says"] == []
