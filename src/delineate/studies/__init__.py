"""Studies: many runs under one setup, so that methods meet on the same splits with the same budget."""
