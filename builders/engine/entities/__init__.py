"""Medical entities in Chinese text, and the guard that a rewritten answer says medically the same."""
