"""Registry hives (regf): keys, values and what their bytes mean."""

from __future__ import annotations

from parsers.registry.hive import Hive
from parsers.registry.keys import Key
from parsers.registry.values import Value, decode

__all__ = ["Hive", "Key", "Value", "decode"]
