"""How a run gets its processes, and how they stop together."""
