"""Files ⇄ arrays with their geometry, one reader and one writer for each format."""
