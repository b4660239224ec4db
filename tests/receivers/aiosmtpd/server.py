import asyncio

from aiosmtpd.smtp import SMTP


class Handler:
    async def handle_PROXY(self, server, session, envelope, proxy_data):
        return proxy_data.valid

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        header = session.proxy_data
        # Command 0 is LOCAL, whose addresses are to be ignored; UNKNOWN has none.
        is_named = header.src_addr is not None and header.command != 0
        client = (header.src_addr, header.src_port) if is_named else session.peer
        return [f"250-{client[0]} {client[1]}", "250 HELP"]


async def main():
    def smtp():
        return SMTP(Handler(), proxy_protocol_timeout=10, enable_SMTPUTF8=True)

    server = await asyncio.get_running_loop().create_server(smtp, "127.0.0.1", 8080)
    await server.serve_forever()


asyncio.run(main())
