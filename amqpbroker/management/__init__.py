"""The management HTTP API: RabbitMQ's paths and JSON over the broker's domain objects.

Importing this package costs nothing: FastAPI and uvicorn are imported when the first client calls.
"""

from amqpbroker.management.http_server import Listener, Socket, serve

__all__ = ("Listener", "Socket", "serve")
