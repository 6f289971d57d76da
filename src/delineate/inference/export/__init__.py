"""What leaves Python: preprocessing as a module."""
