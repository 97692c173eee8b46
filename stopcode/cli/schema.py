"""`stopcode schema`: the JSON Schema of the documents, made from the types that the program itself uses."""

from __future__ import annotations

import argparse

from stopcode.cli.context import Context
from stopcode.cli.exits import Exit
from stopcode.cli.output import json_text, output_to

SENTENCE = (
    "Print the JSON Schema of a document: `facts` (what was read), `report` (what `scan -o json` prints), or `dumps` "
    "(what `dump -o json` prints of many)."
)
EXAMPLES = ("stopcode schema report", "stopcode schema --output facts.schema.json facts")
CODES = (Exit.OK, Exit.USAGE)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("document", choices=("facts", "report", "dumps"), help="which document")
    parser.add_argument("--output", metavar="FILE", default="-", help="write it there instead of to stdout")


def run(args: argparse.Namespace, ctx: Context) -> int:
    """Print it."""
    from stopcode.report.stored import document_schema

    with output_to(args.output, ctx) as to:
        to.out.write(json_text(document_schema(args.document)))
    return Exit.OK
