"""Masks → numbers → judgment. Works on arrays and files, knows no network."""
