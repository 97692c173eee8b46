"""Tables as data: the update levels of Windows, with their sources."""
