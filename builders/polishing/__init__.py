"""Real answers worth polishing, and polished ones worth keeping."""
