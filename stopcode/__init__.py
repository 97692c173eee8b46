"""The program: scan one image, scan many, keep cases, report."""

__version__ = "0.1.0"
