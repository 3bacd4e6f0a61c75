"""Which insights exist, their series, and whether their backfill is planned."""
