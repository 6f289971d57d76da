"""What a data set is, apart from its pixels: cases, labels, groups, and how pixels become a network's input."""
