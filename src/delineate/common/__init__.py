"""What every room needs: errors, atomic files, suggestions for misspelled names. Knows no images and no networks."""
