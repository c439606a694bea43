"""A trained model on its way to the Hub."""
