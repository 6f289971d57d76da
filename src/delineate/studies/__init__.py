"""Studies: many runs under one plan, so that methods meet on the same splits with the same budget."""
