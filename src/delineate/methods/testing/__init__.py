"""Checks of the method contract, for any registered method, also of other packages."""
