"""A mail server that keeps what it is sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from socketserver import StreamRequestHandler, ThreadingTCPServer

from tests.serving import serving


class MailServer(ThreadingTCPServer):
    """An SMTP server on a free port, without TLS and authentication."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), SmtpSession)
        self.mails: list[EmailMessage] = []
        self.address = f"127.0.0.1:{self.server_address[1]}"


class SmtpSession(StreamRequestHandler):
    """The few commands of SMTP that a sender needs; every other one is accepted."""

    server: MailServer

    def handle(self) -> None:
        """Answer commands until the client leaves."""
        self._reply("220 ready")
        for line in self.rfile:
            command = line.strip().upper()
            if command == b"DATA":
                self._reply("354 go on")
                self.server.mails.append(self._read_mail())
            self._reply("221 bye" if command == b"QUIT" else "250 ok")

    def _read_mail(self) -> EmailMessage:
        """Return the mail, which a line with a dot alone ends."""
        lines = iter(self.rfile.readline, b".\r\n")
        text = b"".join(line.removeprefix(b".") for line in lines)
        mail = message_from_bytes(text, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        return mail

    def _reply(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def receiving_mail() -> Iterator[MailServer]:
    """Run a mail server and yield it."""
    with serving(MailServer()) as server:
        yield server
