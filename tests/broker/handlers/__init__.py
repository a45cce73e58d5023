"""Tests of the handlers, without sockets."""
