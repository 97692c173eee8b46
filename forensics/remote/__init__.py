"""Images where they are: ranges of a file behind an address, a block cache over them, and what may be connected to."""
