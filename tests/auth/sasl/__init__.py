"""Tests of the SASL mechanisms, one file each."""
