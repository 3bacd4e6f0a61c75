"""The command line: one group, one module of commands per area."""
