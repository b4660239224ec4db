import asyncio

from proxyprotocol.detect import ProxyProtocolDetect
from proxyprotocol.reader import ProxyProtocolReader


async def echo(reader, writer, info):
    # Of LOCAL and UNKNOWN this is the peer; of UNIX sockets it is a path.
    client = info.peername
    words = f"{client[0]} {client[1]}" if isinstance(client, tuple) else "nobody"
    writer.write(f"{words}\n".encode())
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main():
    callback = ProxyProtocolReader(ProxyProtocolDetect()).get_callback(echo)
    server = await asyncio.start_server(callback, "127.0.0.1", 8080)
    await server.serve_forever()


asyncio.run(main())
