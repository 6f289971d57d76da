"""One request per verb: the only list of its options, from which the command line and Python's signatures are made.

A request is a `TypedDict` whose fields carry an `Option`: type, default and help stand here and nowhere else. Imports nothing that
takes time, since `--help` reads it.
"""
