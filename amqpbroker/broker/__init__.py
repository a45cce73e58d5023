"""The domain: vhosts, queues, consumers, channels. No sockets, no SQL, plain synchronous calls."""
