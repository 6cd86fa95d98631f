"""What a training will take, worked out before it runs."""
