"""Where dashboards look: each module tells one of them what a command found, once everything is written."""
