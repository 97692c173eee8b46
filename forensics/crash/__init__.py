"""One crash dump: what it stopped with, where, through which driver, and how sure that is."""
