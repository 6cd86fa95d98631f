"""What `error_detectors.py` is made of: labelled summaries, the fit, and the check."""
