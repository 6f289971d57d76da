"""Recipe → trained run."""
