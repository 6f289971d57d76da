"""Folders whose masks are outlines in files of labeling tools → cases."""
