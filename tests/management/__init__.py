"""Tests of the management API, over a real socket; all but the marked pass on RabbitMQ too."""
