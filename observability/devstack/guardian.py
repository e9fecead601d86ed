"""A process that removes a scratch stack as soon as its owner has ended, however the owner ended.

The owner holds the other end of its standard input, which the kernel closes even after SIGKILL.
`python -m observability.devstack.guardian FOLDER`, which `Guardian` starts
"""

import shutil
import subprocess
import sys
from pathlib import Path

from observability.devstack.layout import ROOT, StackLayout, servers_folder
from observability.devstack.processes import kill_all


class Guardian:
    """The guardian of the stack in a folder, as its owner sees it."""

    def __init__(self, folder: Path):
        command = [sys.executable, "-m", __name__, str(folder)]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
        )

    def remove_stack(self) -> None:
        """Have the stack's processes killed and its folder removed, and wait until it is done."""
        self._process.communicate()


def remove_stack(folder: Path) -> None:
    """Kill the processes of the stack in a folder, and remove the folder and its socket."""
    layout = StackLayout(folder, {}, servers_folder())
    kill_all(layout)
    layout.supervisor_socket.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.read()
    remove_stack(Path(sys.argv[1]))
