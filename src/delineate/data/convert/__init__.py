"""A data set that is readable here, written in a form that other tools read."""
