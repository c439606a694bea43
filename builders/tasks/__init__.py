"""Medical language tasks as instructions: labelled sets, wordings, and answers that parse back to their labels."""
