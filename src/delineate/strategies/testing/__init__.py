"""Checks of the strategy contract, for any registered strategy, also of other packages."""
