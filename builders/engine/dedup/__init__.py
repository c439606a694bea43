"""Near-duplicates: candidates by MinHash bands, decided by exact Jaccard, every verdict naming the twin."""
