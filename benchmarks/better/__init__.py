"""What benchmarks/better_training.py is made of."""
