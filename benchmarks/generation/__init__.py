"""What benchmarks/generate_speed.py is made of."""
