"""Tests of the tools in ``interop`` that need no broker."""
