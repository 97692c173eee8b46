"""The application at the sizes people have, driven by keys, judged by what the screen shows."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.style import Style
from textual.color import Color
from textual.pilot import Pilot

from stopcode.report.lines import Tone
from stopcode.report.safe import shown
from tests.tui.reports import HOSTILE, REPORT, hostile
from tui.app import StopcodeApp
from tui.bindings import KEYS
from tui.screens.help import HelpScreen
from tui.widgets.lines import STYLE


def screen_text(app: StopcodeApp) -> str:
    """What a person sees, line by line."""
    # The compositor is the only place that knows the whole screen; this is the one use of it.
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


async def until(pilot: Pilot[Any], condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, bounded."""
    end = time.monotonic() + 15
    while time.monotonic() < end:
        await pilot.pause()
        if condition():
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"never happened: {what}\n{screen_text(pilot.app)}")  # type: ignore[arg-type]  # the pilot holds our app


def child(tmp_path: Path, *, report: str, lines: list[str], code: int = 1) -> list[str]:
    """A command that behaves like a scan: progress on stderr, a report on stdout."""
    script = tmp_path / "child.py"
    script.write_text(
        "import sys\n"
        f"for line in {lines!r}:\n    print(line, file=sys.stderr, flush=True)\n"
        f"sys.stdout.write({report!r})\nsys.exit({code})\n"
    )
    return [sys.executable, str(script)]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_report_shows_verdict_machine_and_findings(size: tuple[int, int]) -> None:
    app = StopcodeApp("disk.vhdx", report=REPORT)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "CRASHED" in screen_text(app), "the finding is listed")
        assert "SRV1 crashed in vmstorfl.sys" in screen_text(app)
        await pilot.press("1")
        await until(pilot, lambda: "10.0.17763.1757" in screen_text(app), "the machine card is shown")
        await pilot.press("2", "enter")
        await until(pilot, lambda: "vmstorfl.sys is 10.0.17763.771" in screen_text(app), "the evidence is shown")
        await pilot.press("escape", "j")
        await until(pilot, lambda: app.main._chosen() is not None and app.main._chosen().kind == "crash", "next row")  # type: ignore[union-attr]  # checked in the same expression
        await pilot.press("3")
        await until(pilot, lambda: "Culprit: vmstorfl.sys (high" in screen_text(app), "the crash is shown")


async def test_wide_screens_show_list_and_evidence_side_by_side() -> None:
    app = StopcodeApp("disk.vhdx", report=REPORT)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "vmstorfl.sys is 10.0.17763.771" in screen_text(app), "evidence without a key")
        text = screen_text(app)
        assert "CRASHED" in text
        assert "10.0.17763.1757" in text


async def test_a_screen_too_small_says_which_size_is_needed() -> None:
    app = StopcodeApp("disk.vhdx", report=REPORT)
    async with app.run_test(size=(50, 12)) as pilot:
        await until(pilot, lambda: "60 × 15" in screen_text(app), "the size is named")


async def test_it_opens_at_once_and_fills_in_while_the_scan_goes_on(tmp_path: Path) -> None:
    gate = tmp_path / "go"
    script = tmp_path / "slow.py"
    script.write_text(
        "import json, pathlib, sys, time\n"
        "say = lambda x: print(json.dumps(x), file=sys.stderr, flush=True)\n"
        "say({'step': 'drivers', 'n': 3, 'of': 7})\n"
        "say({'section': 'system', 'data': {'hostname': 'EARLY1'}})\n"
        f"while not pathlib.Path({str(gate)!r}).exists():\n    time.sleep(0.02)\n"
        f"sys.stdout.write({json.dumps(REPORT)!r})\nsys.exit(1)\n"
    )
    app = StopcodeApp("disk.vhdx", command=[sys.executable, str(script)])
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "reading drivers (4 of 7)" in screen_text(app), "the step is shown")
        await until(pilot, lambda: "EARLY1" in screen_text(app), "the host name comes before the report")
        assert "CRASHED" not in screen_text(app)
        await pilot.press("enter")  # nothing is listed yet, so there is no evidence to go to
        assert app.main.has_class("show-findings")
        await pilot.press("ctrl+p")  # opening the palette must not stop the scan
        await pilot.press("escape")
        gate.touch()
        await until(pilot, lambda: "CRASHED" in screen_text(app), "the report fills the list")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_scan_without_a_report_says_why_and_what_to_do(tmp_path: Path, size: tuple[int, int]) -> None:
    command = child(tmp_path, report="", lines=["stopcode: error: not a disk", "stopcode: hint: try another"], code=3)
    app = StopcodeApp("nothing.bin", command=command)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "not a disk" in screen_text(app), "the error is shown")
        assert "hint: try another" in screen_text(app)


@pytest.mark.parametrize("said", ["[1, 2]", "{" * 100_000, '{"half": '])
async def test_what_is_no_report_is_a_failed_scan(tmp_path: Path, said: str) -> None:
    app = StopcodeApp("disk.vhdx", command=child(tmp_path, report=said, lines=[], code=0))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "exit code 0 and gave no report" in screen_text(app), "the failure is shown")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_a_child_that_says_too_much_is_stopped(
    tmp_path: Path, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.scanner.MAX_SAID", 1 << 16)
    script = tmp_path / "chatter.py"
    script.write_text(f"import sys\nwhile True:\n    sys.{stream}.write('x' * 4096)\n")
    app = StopcodeApp("disk.vhdx", command=[sys.executable, str(script)])
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "gave no report" in screen_text(app), "the failure is shown")


async def test_leaving_kills_the_scan(tmp_path: Path) -> None:
    script = tmp_path / "endless.py"
    script.write_text(
        "import json, os, sys, time\n"
        "print(json.dumps({'step': f'pid {os.getpid()}', 'n': 1}), file=sys.stderr, flush=True)\n"
        "time.sleep(600)\n"
    )
    app = StopcodeApp("disk.vhdx", command=[sys.executable, str(script)])
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "reading pid" in screen_text(app), "the child runs")
        pid = int(re.findall(r"pid (\d+)", screen_text(app))[0])
        os.kill(pid, 0)
        await pilot.press("q")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_resize_changes_the_layout_and_keeps_the_chosen_row() -> None:
    app = StopcodeApp("disk.vhdx", report=REPORT)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "CRASHED" in screen_text(app), "ready")
        await pilot.press("j")
        await until(pilot, lambda: "Culprit: vmstorfl.sys (high" in screen_text(app), "the crash is chosen")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "3 Evidence" not in screen_text(app), "one pane at a time")
        assert "2 Findings" in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: "Culprit: vmstorfl.sys (high" in screen_text(app), "still the crash")
        await pilot.resize_terminal(50, 12)
        await until(pilot, lambda: "60 × 15" in screen_text(app), "too small")
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "1 Machine" in screen_text(app), "all panes are back")


async def test_a_narrow_screen_has_the_whole_verdict_below_the_machine_card() -> None:
    report = {**REPORT, "verdict": {**REPORT["verdict"], "lines": [*(f"line {n} " * 9 for n in range(9)), "the end"]}}
    app = StopcodeApp("disk.vhdx", report=report)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "CRASHED" in screen_text(app), "ready")
        assert "the end" not in screen_text(app)
        await pilot.press("1", "G")
        await until(pilot, lambda: "the end" in screen_text(app), "the last line of the verdict")


async def test_the_footer_names_the_way_to_the_evidence() -> None:
    app = StopcodeApp("disk.vhdx", report=REPORT)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "enter Evidence" in screen_text(app), "the key is named")


async def test_a_scan_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    app = StopcodeApp("disk.vhdx", command=[str(tmp_path / "no-such-program")])
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "could not be started" in screen_text(app), "the error is shown")


async def test_every_key_can_be_pressed_and_help_lists_them_all() -> None:
    app = StopcodeApp("disk.vhdx", report=REPORT)
    async with app.run_test(size=(120, 60)) as pilot:
        await until(pilot, lambda: "CRASHED" in screen_text(app), "ready")
        for key in KEYS:
            if key.id in {"global.quit", "global.help", "global.palette"}:
                continue
            for name in key.keys.split(","):
                await pilot.press(name)
        await pilot.press("escape", "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen), "help opens")
        text = screen_text(app)
        for key in KEYS:
            assert key.help in text, key.id
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, HelpScreen), "help closes")


async def test_q_leaves() -> None:
    app = StopcodeApp("disk.vhdx", report=REPORT)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "CRASHED" in screen_text(app), "ready")
        await pilot.press("q")
        await pilot.pause()
    assert app.return_code == 0


async def test_zoom_gives_one_pane_the_screen_and_escape_gives_it_back() -> None:
    app = StopcodeApp("disk.vhdx", report=REPORT)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "CRASHED" in screen_text(app), "ready")
        await pilot.press("3", "z")
        await until(pilot, lambda: "1 Machine" not in screen_text(app), "only the evidence is there")
        await pilot.press("escape")
        await until(pilot, lambda: "1 Machine" in screen_text(app), "the others are back")


async def test_hostile_text_reaches_no_screen_unescaped() -> None:
    app = StopcodeApp("disk\x1b[41m.vhdx", report=hostile())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "CRASHED" in screen_text(app), "ready")
        assert any(shown(line) in screen_text(app) for line in [HOSTILE])
        for key in ("1", "2", "enter", "escape", "j", "3", "escape", "j", "3"):
            await pilot.press(key)
            await pilot.pause()
            text = screen_text(app)
            assert not any(char in text for char in "\x1b\x9b\u202e\x07"), repr(text)


@pytest.mark.parametrize("tone", sorted(STYLE))
def test_every_tone_can_be_read_on_the_screens_colours(tone: Tone) -> None:
    """WCAG 2 asks for a contrast of 4.5:1."""
    style = Style.parse(STYLE[tone])
    assert not style.dim, "how a terminal dims is anybody's guess"
    app = StopcodeApp("disk.vhdx", report=REPORT)
    for name in ("background", "surface"):
        behind = Color.parse(app.theme_variables[name])
        text = Color.from_rich_color(style.color) if style.color else Color.parse(app.theme_variables["foreground"])
        light, dark = sorted((luminance(text), luminance(behind)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(color: Color) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [part / 255 for part in (color.r, color.g, color.b)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
