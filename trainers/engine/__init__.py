"""What the trainers are made of: data and the loss mask, preflight, launch, checkpoints."""
