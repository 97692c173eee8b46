"""Widgets: drawing only."""
