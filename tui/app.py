"""The application: one main screen over one report, and the child process that makes it."""

from __future__ import annotations

import asyncio
import locale
import os
from typing import Any, ClassVar

from textual.app import App
from textual.binding import BindingType

from tui.bindings import bindings_of
from tui.messages import ScanFailed
from tui.scanner import scan_command, scan_in_child
from tui.screens.help import HelpScreen
from tui.screens.main import MainScreen

__all__ = ["StopcodeApp", "run_tui"]


class StopcodeApp(App[int]):
    """Triage of one image.

    Args:
        path: what the user named; shown, and scanned unless a report is given.
        report: a ready report to show instead of scanning.
        command: the command that scans (tests give their own).
        ascii_only: no sign outside ASCII for states.

    """

    CSS_PATH = "theme.tcss"
    TITLE = "stopcode"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of("global")]

    def __init__(
        self,
        path: str,
        *,
        report: dict[str, Any] | None = None,
        command: list[str] | None = None,
        ascii_only: bool = False,
    ) -> None:
        super().__init__()
        self._path = path
        self._report = report
        self._command = command
        self._scanning: asyncio.Task[None] | None = None
        self.main = MainScreen(path, ascii_only=ascii_only)

    def on_mount(self) -> None:
        """Open the main screen and start the scan beside it."""
        self.push_screen(self.main)
        if self._report is None:
            # A task of our own and not a worker of Textual's: leaving waits until its child is gone.
            self._scanning = asyncio.create_task(self._scan())
        else:
            report = self._report
            self.call_after_refresh(self.main.show_report, report)

    async def on_unmount(self) -> None:
        """Stop a scan that still runs."""
        if self._scanning is not None:
            self._scanning.cancel()
            await asyncio.wait([self._scanning])

    async def _scan(self) -> None:
        try:
            await scan_in_child(self._command or scan_command(self._path), self.main.post_message)
        except OSError as error:
            self.main.post_message(ScanFailed(f"the scan could not be started: {error}"))

    def action_help(self) -> None:
        """Show every key."""
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())


def run_tui(path: str, *, report: dict[str, Any] | None = None, ascii_only: bool | None = None) -> int:
    """Run the application until the user leaves; return the exit code.

    `ascii_only` is decided from the locale and TERM when it is not given.
    """
    if ascii_only is None:
        ascii_only = os.environ.get("TERM") == "linux" or "utf" not in locale.getpreferredencoding(False).lower()
    app = StopcodeApp(path, report=report, ascii_only=ascii_only)
    return app.run() or 0
