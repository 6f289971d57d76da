"""Masks → numbers → judgement. Works on arrays and files, knows no network."""
