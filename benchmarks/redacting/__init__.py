"""What benchmarks/redaction.py measures on."""
