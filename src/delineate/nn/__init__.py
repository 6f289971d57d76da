"""Building blocks that no single paper owns: encoders, conv blocks, attention, losses, views."""
