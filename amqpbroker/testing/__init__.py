"""A whole broker in one task tree: no sockets, no threads, no files, and time that jumps.

::

    from amqpbroker.testing.virtual_loop import run, virtual_clock

    async def test() -> None:
        ground = Ground(MemoryDatabase(), FakeDisk(), options, virtual_clock(), InlineExecutor())
        async with InProcessBroker(ground, config) as broker:
            stream = broker.connect(on_data)        # bytes of AMQP in and out
            await anyio.sleep(1800)                 # half an hour, at once

    run(test)

The same parts carry the simulation (``interop/simulation``).
"""
