"""Competitors: see README.md."""
