"""What our trainers add around the training loop of TRL."""
