"""Decode once: arrays at the working size, in the user's cache folder."""
