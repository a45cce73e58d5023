"""Durable state: the log that queues are replayed from, and (elsewhere) the catalog.

Start at `log`, the protocol. `segment_log` keeps it in files, `memory` nowhere, `faulty` breaks
it on purpose. Nothing here knows what a queue or a message is.
"""
