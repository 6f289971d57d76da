"""The web page: one source (`source/`), and the back ends that it can have."""
