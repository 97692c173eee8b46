"""Builders of synthetic Windows disks and crash dumps; they share no layout with `parsers`."""
