"""Uploads: reading an index, keeping its documents, and leading each upload through its states."""
