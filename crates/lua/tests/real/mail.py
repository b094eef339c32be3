"""A mail server for tests: STARTTLS first, then a password, then mail into the folder `mail`."""

import asyncio
import ssl

from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP, AuthResult


def check(server, session, envelope, mechanism, data):
    known = data.login == b"robot" and data.password == b"p\xc3\xa4ss word"
    return AuthResult(success=known, handled=False)


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert.pem", "key.pem")
    handler = Mailbox("mail")

    def session():
        return SMTP(handler, authenticator=check, auth_required=True, tls_context=context, require_starttls=True)

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
