"""Bytes to structures: one module a format, no knowledge of Windows folders, disks or rules."""
