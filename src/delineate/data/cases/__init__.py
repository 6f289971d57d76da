"""What the files of each case hold: pixels at native size, a census of them, and made-up ones."""
