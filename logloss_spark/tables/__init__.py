"""Lazy tables that are computed from a state."""
