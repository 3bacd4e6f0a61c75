"""Tests of the demo and of the command line's group."""
