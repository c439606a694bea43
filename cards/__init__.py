"""How data and models are described: facts in, Markdown and JSON out. No network."""
