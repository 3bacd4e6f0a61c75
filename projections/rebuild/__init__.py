"""Filling a projection anew from the log, beside the generation that readers use."""
