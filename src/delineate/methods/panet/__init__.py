"""PANet: one mean prototype each of foreground and background."""
