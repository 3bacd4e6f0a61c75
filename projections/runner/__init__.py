"""The runner: consume, decode, decide, fold, one transaction, notify, advisory commit (DESIGN section 7)."""
