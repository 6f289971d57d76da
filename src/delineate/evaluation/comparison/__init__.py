"""Trained models compared on the same cases."""
