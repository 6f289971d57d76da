"""One page per file: run, evaluation, comparison, data check."""
