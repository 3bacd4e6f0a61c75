"""The commit indexer: tells which commits there are in a repository, and where its refs stand."""
