"""Kill the broker at random moments under load, and hold what is left against what was promised."""
