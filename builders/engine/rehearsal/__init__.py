"""A teacher to rehearse with: a real OpenAI-compatible server on loopback that answers every prompt of ours.

    python -m builders.engine.rehearsal --port 8000 --latency 0.3 --throttled 0.05

No key, no network, no cost, always the same words. Everything it says is marked by a response header, and rows made
from it refuse to be pushed.
"""
