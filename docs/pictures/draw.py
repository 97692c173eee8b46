"""Draw the pictures of the README from the real program: `make pictures`.

The sample disk is scanned and shown in the terminal application without a terminal; what is on its screen becomes an
SVG without any remote font.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from samples.unpack import unpack
from stopcode.scan import scan
from tui.app import StopcodeApp

HERE = Path(__file__).parent
SIZE = (120, 36)


def without_remote_fonts(svg: str) -> str:
    """Leave the choice of a monospaced font to whoever shows the picture."""
    svg = re.sub(r"@font-face\s*\{.*?\}\s*", "", svg, flags=re.DOTALL)
    return svg.replace("Fira Code, monospace", "monospace").replace("font-family: Fira Code", "font-family: monospace")


async def draw_tui(report: dict[str, Any], path: str) -> str:
    """Return the application's screen with the first finding chosen."""
    app = StopcodeApp(path, report=report)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.5)
        await pilot.press("2")
        await pilot.pause(0.5)
        return without_remote_fonts(app.export_screenshot(title=f"stopcode tui {path}"))


def main() -> None:
    """Draw everything."""
    disk = unpack("ws2019-failed.vhdx")
    report = scan(str(disk))
    shown = "samples/built/ws2019-failed.vhdx"
    report["source"]["path"] = shown
    svg = asyncio.run(draw_tui(json.loads(json.dumps(report)), shown))
    (HERE / "tui.svg").write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
