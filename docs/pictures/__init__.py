"""How the pictures in `docs/images` are made, each from phantom images: of nobody, and the same on every machine."""
