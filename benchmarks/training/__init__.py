"""What `train_speed.py` is made of: shapes, data, the systems compared, their costs, and the summary."""
