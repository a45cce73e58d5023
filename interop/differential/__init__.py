"""A differential tester: random AMQP 0-9-1 programs against two brokers, every frame compared.

``python -m interop.differential --oracle HOST:PORT --subject HOST:PORT``; see README.md.
"""
