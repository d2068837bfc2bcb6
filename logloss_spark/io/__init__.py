"""Where data and sessions come from and go to."""
