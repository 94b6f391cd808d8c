"""A line to a registry on loopback: line.py PORT UPSTREAM-PORT [BYTES-A-SECOND] [ROUND-TRIP-SECONDS]

Each connection gets so many bytes a second (0: no limit), and what goes either way arrives half a round trip later. Making a
connection costs a round trip, too, as it does anywhere but on loopback. No burst: the rate holds from the first byte on.
"""
import asyncio, signal, sys

port, upstream = int(sys.argv[1]), int(sys.argv[2])
rate = float(sys.argv[3]) if len(sys.argv) > 3 else 0
round_trip = float(sys.argv[4]) if len(sys.argv) > 4 else 0
# A chunk each ten milliseconds at most, so that the rate is even without a wake-up for each packet.
chunk = 256 << 10 if not rate else max(4096, min(256 << 10, int(rate / 100)))

answered = 0

async def carry(reader, writer, rate, delay, ready, count):
    """Reads ahead for as long as a chunk is on its way, as a line would hold it."""
    clock = asyncio.get_running_loop().time
    queue = asyncio.Queue(1024)

    async def deliver():
        global answered
        free = ready
        while True:
            arrived, data = await queue.get()
            free = max(free, arrived)
            if rate:
                free += len(data) / rate
            wait = free + delay - clock()
            if wait > 0.0005:
                await asyncio.sleep(wait)
            if not data:
                break
            writer.write(data)
            await writer.drain()
            if count:
                answered += len(data)
        writer.close()

    delivery = asyncio.create_task(deliver())
    try:
        while data := await reader.read(chunk):
            await queue.put((clock(), data))
    except ConnectionError:
        pass
    await queue.put((clock(), b""))
    try:
        await delivery
    except ConnectionError:
        pass

async def serve(reader, writer):
    connected = asyncio.get_running_loop().time() + round_trip
    try:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(carry(reader, up_writer, 0, round_trip / 2, connected, False),
                             carry(up_reader, writer, rate, round_trip / 2, connected, True))
    except ConnectionError:
        writer.close()

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: print(answered, flush=True))
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=100)
    async with server:
        await server.serve_forever()

asyncio.run(main())
