"""What a row is, and what a run is told. Imports nothing else of ours."""

__version__ = "0.1.0"
