"""Very many of something on one node: a million idle queues, two million waiting messages."""
