"""Reads over the monitors projection, inside a snapshot (``projections.reading``)."""
