"""What points at a person or a place in a consultation, found by pattern and replaced before any text leaves the machine."""
