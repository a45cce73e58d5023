"""Exchanges, bindings and the way from a routing key to queues: plain dicts, no I/O, no clock.

Start at ``exchange.py`` (what every type has), then ``route.py`` (how a message walks from
exchange to exchange). ``types/`` holds one file per exchange type; ``registry.py`` names them.
"""
