"""The command line: one module a command, thin; the only place that prints or exits."""
