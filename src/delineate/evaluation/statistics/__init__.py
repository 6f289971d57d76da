"""Scores → what may be said about them: intervals, paired comparisons, claims about methods, ranks, words."""
