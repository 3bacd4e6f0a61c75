"""Benchmarks that anybody can run: each checks its own answers and prints one JSON object as its last line."""
