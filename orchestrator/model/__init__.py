"""Frozen dataclasses that travel between the layers. They import nothing but each other."""
