"""Load at the edges: what ten thousand clients, or one bad one, may cost everybody else."""
