"""One file per exchange type."""
