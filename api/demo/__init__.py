"""The demo: sample repositories, one insight, its backfill, and what was done, in figures."""
