"""gunicorn in this process, for a console that is none of the stack's programs."""

from pathlib import Path
from typing import Any

from flask import Flask
from gunicorn.app.base import Application


class Server(Application):  # type: ignore[misc] # gunicorn has no types
    """A console at one address; headers stay in the memory of the process."""

    def __init__(self, app: Flask, bind: str):
        self._app = app
        self._bind = bind
        super().__init__()

    def load_config(self) -> None:
        """Read the settings of the stack's console; the command line is not gunicorn's."""
        self.load_config_from_file(str(Path(__file__).with_name("gunicorn.conf.py")))
        self.cfg.set("bind", self._bind)

    def load(self) -> Any:
        """Return the WSGI application."""
        return self._app
