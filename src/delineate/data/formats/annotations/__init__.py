"""Files of labeling tools as masks: outlines and run lengths, drawn when they are read."""
