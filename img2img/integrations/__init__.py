"""Nodes and the like for other programs, each in one file."""
