"""The command line: one file per verb. Parse, call the library, print; heavy imports happen inside the verbs."""

from delineate.cli.root import app, main

__all__ = ["app", "main"]
