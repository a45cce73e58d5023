"""Definitions of a RabbitMQ into this broker and back; see README.md."""
