"""Insights: views, their series, and the plans of their backfills."""
