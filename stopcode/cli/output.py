"""Where results go: stdout, or a file that appears whole or not at all and never replaces an input."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from stopcode.cli.context import Context
from stopcode.cli.errors import UsageError
from stopcode.report.lines import Line

__all__ = ["json_text", "output_to", "refuse_inputs", "write_lines"]


def json_text(document: Any, *, lines: bool = False) -> str:
    r"""Return a document as JSON in ASCII: the same on every system, and harmless on every terminal.

    Args:
        document: plain data; its order is kept.
        lines: one line, for `jsonl`.

    """
    text = json.dumps(document) if lines else json.dumps(document, indent=2)
    return text.replace("\x7f", "\\u007f") + "\n"


def write_lines(lines: Iterable[Line], ctx: Context) -> None:
    """Write lines as the place they go to wants them."""
    if ctx.colour or ctx.terminal:
        from stopcode.report.terminal import write_terminal

        write_terminal(lines, ctx.out, width=ctx.width if ctx.terminal else 0, colour=ctx.colour, unicode=ctx.unicode)
        return
    from stopcode.report.plain import write_plain

    write_plain(lines, ctx.out, unicode=ctx.unicode)


def refuse_inputs(option: str, target: Path, inputs: Iterable[str | Path]) -> None:
    """Refuse to write over an input or into a folder that is one.

    Args:
        option: which option names the target.
        target: where something is to be written.
        inputs: what is read.

    Raises:
        UsageError: the result would change the evidence.

    """
    place = target.resolve()
    for name in inputs:
        path = Path(name)
        if not path.exists():
            continue
        given = path.resolve()
        same = target.exists() and target.samefile(path)
        if same or place == given or (given.is_dir() and given in place.parents):
            raise UsageError(
                f"{option} {target}: {name} is the input and is never written to", hint="name another file"
            )


@contextmanager
def output_to(path: str, ctx: Context, inputs: Sequence[str] = ()) -> Iterator[Context]:
    """Give the context whose `out` is the named file; "-" is stdout.

    The file is written beside its name and renamed when all of it is there. What is there and is no regular file (a
    device, a pipe) is written to as it is.

    Raises:
        UsageError: the file is an input.
        OSError: it cannot be written.

    """
    if path == "-":
        yield ctx
        return
    target = Path(path)
    refuse_inputs("--output", target, inputs)
    if target.is_dir():
        raise UsageError(f"--output {path} is a folder", hint="name a file in it")
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8", errors="backslashreplace") as out:
            yield _for_file(ctx, out)
        return
    import tempfile

    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as out:
            yield _for_file(ctx, out)
        mask = os.umask(0)
        os.umask(mask)
        Path(partial).chmod(0o666 & ~mask)
        Path(partial).replace(target)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _for_file(ctx: Context, out: TextIO) -> Context:
    return replace(ctx, out=out, terminal=False, colour=False, unicode=True)
