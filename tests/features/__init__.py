"""Tests of whole features over real sockets; each file is named by its feature."""
