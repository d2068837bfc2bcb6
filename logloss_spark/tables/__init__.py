"""Lazy tables that are read off a state."""
