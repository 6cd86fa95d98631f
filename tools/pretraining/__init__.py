"""What `tools/pretrain_tiny.py` is made of: text, tokenizer, tasks, batches, optimiser, export."""
