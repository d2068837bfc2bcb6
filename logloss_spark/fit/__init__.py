"""Logistic regression on tables of any size: rows become blocks once, and a solver on the driver passes over them."""
