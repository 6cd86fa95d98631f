"""Parts of ``serve_load.py``."""
