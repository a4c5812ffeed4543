from __future__ import annotations

import socket
import threading
from contextlib import closing
from pathlib import Path

from imageferry.control import socket_path
from support.commands import invoke
from support.daemons import House, account


def test_a_daemon_that_ends_before_it_answers_is_no_riddle(tmp_path: Path) -> None:
    house = House(tmp_path, {"prod": account("http://127.0.0.1:9")})

    def die() -> None:
        peer, _ = listener.accept()
        with closing(peer):
            peer.recv(65_536)

    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(socket_path(house.ledger)))
        listener.listen()
        daemon = threading.Thread(target=die)
        daemon.start()
        result = invoke("jobs", "retry", "--config", house.config, "abc")
        daemon.join()
    assert result.exit_code == 1
    assert result.stderr == (
        "imageferry: the daemon was asked and did not answer; whether it did it is not known: see that it runs, and "
        "ask again\n"
    )
