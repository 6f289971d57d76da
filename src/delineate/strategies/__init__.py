"""Ways of training, one folder each: what a method is taught with, and what only training needs."""
