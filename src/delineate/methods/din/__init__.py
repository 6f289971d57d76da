"""DIN: two encoders, of the image and of an enhanced copy, that ask each other at every level."""
