"""Tests of the sans-io AMQP; pamqp stands on the far side wherever it is not lossy."""
