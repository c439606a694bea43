"""Rules that make a real consultation fit to train on: whose turn it is, what is talk about nothing, what a doctor's turn does."""
