"""Releases and tables as the files that other trainers read."""
