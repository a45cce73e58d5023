"""A whole broker in virtual time on a failing disk, random clients, a model of what must hold."""
