"""Case files for simulated consultations: from a knowledge graph, and from consultations that were really held."""
