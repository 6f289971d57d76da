"""Delineate: train, compare and run medical image segmentation networks."""

__version__ = "0.1.0"
