"""Addresses, a file for each kind."""
