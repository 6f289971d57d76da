"""Cases that are ready to train on → batches, as pure functions of (seed, position)."""
