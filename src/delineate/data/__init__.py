"""Files on disk ⇄ cases ⇄ samples, at the numpy level. Knows no networks."""
