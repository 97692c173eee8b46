"""Screens: composition and message handlers; what they show comes from `tui.model`."""
