"""`stopcode schema`: the JSON Schema of the documents, made from the types that the program itself uses."""

from __future__ import annotations

import argparse

from stopcode.cli.context import Context
from stopcode.cli.exits import Exit
from stopcode.cli.output import json_text, output_to
from stopcode.report.documents import DOCUMENTS

SENTENCE = (
    "Print the JSON Schema of a document. Each that stopcode writes names its own in `schema`: `stopcode/NAME/1`. Keys "
    "may be added to it; renaming one is a new number."
)
EXAMPLES = ("stopcode schema report", "stopcode schema --output facts.schema.json facts")
CODES = (Exit.OK, Exit.USAGE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    told = "; ".join(f"{name}: {document.written_by}" for name, document in DOCUMENTS.items())
    parser.add_argument("document", choices=tuple(DOCUMENTS), metavar="NAME", help=f"which document. {told}")
    parser.add_argument("--output", metavar="FILE", default="-", help="write it there instead of to stdout")


def run(args: argparse.Namespace, ctx: Context) -> int:
    """Print it."""
    from stopcode.report.stored import document_schema

    with output_to(args.output, ctx) as to:
        to.out.write(json_text(document_schema(args.document)))
    return Exit.OK
