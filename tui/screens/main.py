"""The main screen: verdict, machine card, findings, evidence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from stopcode.report.lines import Line
from stopcode.report.safe import shown
from stopcode.scan.progress import doing
from tui.bindings import bindings_of
from tui.messages import ScanDone, ScanFailed, ScanPart, ScanStep
from tui.model import Row, evidence_lines, machine_card, rows, verdict_lines
from tui.widgets.lines import STYLE, LinesPane, as_block
from tui.widgets.rows import RowTable

__all__ = ["MainScreen"]

PANES = ("machine", "findings", "evidence")


class MainScreen(Screen[None]):
    """One machine. Opens at once and fills in while the scan goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_of("main")]
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (100, "-wide")]  # noqa: RUF012 - Textual's own way
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (15, "-low"), (24, "-tall")]  # noqa: RUF012 - Textual's own way

    def __init__(self, title: str, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._path = title
        self._title = shown(title)
        self._ascii = ascii_only
        self._report: dict[str, Any] = {}
        self._facts: dict[str, Any] = {}
        self._verdict: list[Line] = []
        self._rows: dict[str, Row] = {}
        self._pane = "findings"

    def compose(self) -> ComposeResult:
        """Lay out the panes."""
        yield Static(Text("This needs 60 × 15 characters. `stopcode scan` prints the same."), id="too-small")
        yield Static(Text(f"Scanning {self._title} …"), id="verdict", markup=False)
        yield Static("", id="status", markup=False)
        with Horizontal(id="panes"):
            with Vertical(id="left"):
                yield LinesPane(id="machine", title="1 Machine", ascii_only=self._ascii)
                with Vertical(id="findings", classes="pane") as findings:
                    findings.border_title = "2 Findings"
                    yield RowTable(id="list", cursor_type="row", zebra_stripes=False, show_header=False)
            yield LinesPane(id="evidence", title="3 Evidence", ascii_only=self._ascii)
        yield Footer()

    def on_mount(self) -> None:
        """Begin with the list in focus and an empty card."""
        table = self._table
        table.add_column("state", key="state")
        table.add_column("what", key="what")
        self._show_card()
        self._choose_pane("findings")

    # --- what the scan tells -------------------------------------------------------------------------

    @on(ScanStep)
    def _step(self, message: ScanStep) -> None:
        of = f" ({message.number + 1} of {message.of})" if message.of else ""
        self.query_one("#status", Static).update(Text(f"{shown(doing(message.step))}{of} …"))

    @on(ScanPart)
    def _part(self, message: ScanPart) -> None:
        self._facts[message.section] = message.data
        self._show_card()

    @on(ScanFailed)
    def _failed(self, message: ScanFailed) -> None:
        said = [Line(line) for line in message.text.splitlines() if line] or [Line("The scan failed.")]
        self._verdict = [Line(said[0].text, "bad"), *said[1:]]
        self.query_one("#verdict", Static).update(as_block(self._verdict, ascii_only=self._ascii))
        self.query_one("#status", Static).update(Text(f"{self._title} · no report"))
        self.query_one("#evidence", LinesPane).show(said)

    @on(ScanDone)
    def _done(self, message: ScanDone) -> None:
        self.show_report(message.report)

    def show_report(self, report: dict[str, Any]) -> None:
        """Fill every pane from a report; the chosen row stays chosen."""
        self._report = report
        self._facts = dict(report.get("facts") or {})
        self._verdict = verdict_lines(report)
        self.query_one("#verdict", Static).update(as_block(self._verdict, ascii_only=self._ascii))
        self.query_one("#status", Static).update(Text(self._status()))
        self._show_card()
        self._fill(rows(report, ascii_only=self._ascii))

    def _status(self) -> str:
        stats = self._report.get("stats") or {}
        read = stats.get("bytes_read")
        size = f" · {read / 1e6:.1f} MB read" if isinstance(read, int) else ""
        return f"{self._title}{size}"

    def _show_card(self) -> None:
        card = [Line(value, lead=f"{label:<11}") for label, value in machine_card(self._facts)]
        # On a narrow screen the verdict above is cut; the whole of it stands below the card then.
        self.query_one("#machine", LinesPane).show(card, below=self._verdict)

    def _fill(self, found: Iterable[Row]) -> None:
        table = self._table
        chosen = self._chosen()
        table.clear()
        self._rows = {}
        for row in found:
            self._rows[row.key] = row
            table.add_row(Text(row.mark, style=STYLE[row.tone]), Text(row.text), key=row.key)
        if not self._rows:
            self.query_one("#evidence", LinesPane).show([Line("No finding, no crash, no remark.")])
            return
        keys = list(self._rows)
        table.move_cursor(row=keys.index(chosen.key) if chosen and chosen.key in self._rows else 0)
        self._show_evidence(self._rows[keys[table.cursor_row]])

    # --- list and panes --------------------------------------------------------------------------------

    @property
    def _table(self) -> RowTable:
        return self.query_one("#list", RowTable)

    def _chosen(self) -> Row | None:
        table = self._table
        if not self._rows or not table.is_valid_row_index(table.cursor_row):
            return None
        return list(self._rows.values())[table.cursor_row]

    @on(DataTable.RowHighlighted, "#list")
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        row = self._rows.get(str(event.row_key.value)) if event.row_key is not None else None
        if row is not None:
            self._show_evidence(row)

    @on(DataTable.RowSelected, "#list")
    def _entered(self) -> None:
        self.action_open()

    def _show_evidence(self, row: Row) -> None:
        pane = self.query_one("#evidence", LinesPane)
        pane.show(evidence_lines(self._report, row))
        pane.scroll_home(animate=False)

    def _choose_pane(self, name: str) -> None:
        self._pane = name
        for pane in PANES:
            self.set_class(pane == name, f"show-{pane}")
        target = self._table if name == "findings" else self.query_one(f"#{name}")
        target.focus(scroll_visible=False)
        if self.has_class("zoomed"):
            self._zoom_on(name)

    def _zoom_on(self, name: str) -> None:
        for pane in PANES:
            self.query_one(f"#{pane}").set_class(pane == name, "zoom")
        self.set_class(name == "evidence", "zoom-right")
        self.set_class(name != "evidence", "zoom-left")

    def action_pane(self, name: str) -> None:
        """Go to a pane by name."""
        self._choose_pane(name)

    def action_step_pane(self, by: int) -> None:
        """Go to the pane before or behind."""
        self._choose_pane(PANES[(PANES.index(self._pane) + by) % len(PANES)])

    def action_open(self) -> None:
        """Go to the evidence of the chosen line, once there is one."""
        if self._chosen() is not None:
            self._choose_pane("evidence")

    def action_back(self) -> None:
        """Leave the zoom, or go back to the list."""
        if self.has_class("zoomed"):
            self.action_zoom()
        else:
            self._choose_pane("findings")

    def action_zoom(self) -> None:
        """Give the pane in focus the whole screen, or give the others back."""
        self.toggle_class("zoomed")
        if self.has_class("zoomed"):
            self._zoom_on(self._pane)
        else:
            self.remove_class("zoom-right", "zoom-left")

    def _scroller(self) -> LinesPane | RowTable:
        return self._table if self._pane == "findings" else self.query_one(f"#{self._pane}", LinesPane)

    def action_down(self) -> None:
        """Next line."""
        target = self._scroller()
        if isinstance(target, RowTable):
            target.action_cursor_down()
        else:
            target.scroll_down(animate=False)

    def action_up(self) -> None:
        """Previous line."""
        target = self._scroller()
        if isinstance(target, RowTable):
            target.action_cursor_up()
        else:
            target.scroll_up(animate=False)

    def action_top(self) -> None:
        """First line."""
        target = self._scroller()
        if isinstance(target, RowTable):
            target.move_cursor(row=0)
        else:
            target.scroll_home(animate=False)

    def action_bottom(self) -> None:
        """Last line."""
        target = self._scroller()
        if isinstance(target, RowTable):
            target.move_cursor(row=max(0, target.row_count - 1))
        else:
            target.scroll_end(animate=False)

    def _jump(self, kind: str, by: int) -> None:
        found = list(self._rows.values())
        here = self._table.cursor_row
        order = range(here + 1, len(found)) if by > 0 else range(here - 1, -1, -1)
        for index in order:
            if found[index].kind == kind:
                self._choose_pane("findings")
                self._table.move_cursor(row=index)
                return
        self.app.notify(f"No further {kind}", markup=False)

    def action_next_kind(self, kind: str) -> None:
        """Next row of a kind."""
        self._jump(kind, 1)

    def action_previous_kind(self, kind: str) -> None:
        """Previous row of a kind."""
        self._jump(kind, -1)

    def action_copy_evidence(self) -> None:
        """Copy the evidence pane as text."""
        self.app.copy_to_clipboard(self.query_one("#evidence", LinesPane).plain)
        self.app.notify("Evidence copied", markup=False)

    def action_copy_command(self) -> None:
        """Copy the command that prints this report."""
        import shlex

        command = f"stopcode scan {shlex.quote(self._path)}"
        self.app.copy_to_clipboard(command)
        self.app.notify(shown(f"Copied: {command}"), markup=False)
