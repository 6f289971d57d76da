"""Random changes of training samples: what may be drawn, what was, and its pure application; windows of large images."""
