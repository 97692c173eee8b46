"""Disk containers that are read here and not by a library: VHD and VHDX, with chains, logs and damage."""
