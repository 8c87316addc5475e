#!/usr/bin/env python3
"""A TCP proxy that makes a server far away.

    far.py UPSTREAM_PORT DELAY_MS

What a client sends arrives DELAY_MS later, so each round trip takes it that much longer. Prints the
port on which it listens.
"""

import asyncio
import sys

UPSTREAM, DELAY_S = int(sys.argv[1]), int(sys.argv[2]) / 1000


async def carry(source, target, delay):
    """Passes on what comes from `source`, in order, each piece `delay` after it came."""
    pieces = asyncio.Queue()

    async def deliver():
        while (entry := await pieces.get()) is not None:
            due, piece = entry
            await asyncio.sleep(due - loop.time())
            target.write(piece)
            await target.drain()

    loop = asyncio.get_running_loop()
    delivery = asyncio.create_task(deliver())
    try:
        while piece := await source.read(65536):
            pieces.put_nowait((loop.time() + delay, piece))
        pieces.put_nowait(None)
        await delivery
    except OSError:
        delivery.cancel()
    finally:
        target.close()


async def serve(near_reader, near_writer):
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", UPSTREAM)
    await asyncio.gather(
        carry(near_reader, far_writer, DELAY_S),
        carry(far_reader, near_writer, 0),
    )


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
