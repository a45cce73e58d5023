"""Tests of the routing layer: each exchange type against a brute-force twin."""
