"""Sans-io AMQP 0-9-1: bytes in, events out; methods in, bytes out. No socket, no clock."""
