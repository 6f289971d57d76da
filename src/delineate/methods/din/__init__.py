"""DIN: two encoders, of the image and of an enhanced copy, with cross-attention at every level."""
