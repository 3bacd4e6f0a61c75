"""Monitors, what they searched last, and the history of their runs and actions."""
