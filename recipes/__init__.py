"""Starter recipes, shipped as package data; `peftsum init DIR` writes them out."""
