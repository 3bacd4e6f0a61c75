"""Insights: what has to be counted, planned from definitions and repositories."""
