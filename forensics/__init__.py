"""Evidence to facts: opening a disk, collectors, crash analysis and blame."""
