"""Throughput over TLS, beside a RabbitMQ; see README.md."""
