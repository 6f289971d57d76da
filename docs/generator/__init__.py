"""What makes the pages that nobody writes: reference, pages of methods, and the site of it all."""
