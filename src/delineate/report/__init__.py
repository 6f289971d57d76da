"""Self-contained pages from runs, scores and panels; knows no paper by name."""
