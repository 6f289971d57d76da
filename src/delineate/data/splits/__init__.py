"""Which cases train, validate and test: seeded, published, in folds; and what must not straddle them."""
