"""Folders and tables as people have them → cases."""
