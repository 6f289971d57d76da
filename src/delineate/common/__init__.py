"""The ground floor: errors, atomic files and name suggestions that every room uses. Knows no images and no networks."""
