"""Rows on their way into a model: read, drawn in their shares, put in order, written as token ids."""
