"""Random changes of training samples: what may be drawn, what was, and its pure application; patches and tiles of large images."""
