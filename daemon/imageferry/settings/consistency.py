"""What must fit together across a config file: accounts that events can tell apart, ports and files used once.

Called by the loader, on the data with everything filled in and whether or not the rest of it is right, so that all
complaints come at once. What one section alone can say is its model's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from imageferry.errors import Complaint
from imageferry.settings.blueprint import Listen, parse_listen
from imageferry.wording import dotted, shown
from imageferry.yamlmap import Document, Plain

_EVERYWHERE: Final = frozenset({"0.0.0.0", "::", "*"})  # noqa: S104 - compared with, never bound
_OPS: Final = ("ops", "listen")

_Loc: TypeAlias = tuple[str | int, ...]


class _Misfit(NamedTuple):
    loc: _Loc
    message: str
    key: bool = False


class _Entry(NamedTuple):
    """A source or a publisher."""

    loc: _Loc
    data: dict[str, Plain]

    def text(self, key: str) -> str:
        """A text of it, empty where there is none."""
        value = self.data.get(key)
        return value if isinstance(value, str) else ""


def misfits(document: Document, data: Plain) -> list[Complaint]:
    """Everything in the data that does not fit together, at its place in the document."""
    whole = _mapping(data)
    found = (misfit for rule in _RULES for misfit in rule(whole))
    return [document.complaint(loc, message, key=key) for loc, message, key in found]


def _account_ids(whole: dict[str, Plain]) -> Iterator[_Misfit]:
    """Within a cloud the id alone tells accounts apart, so each needs one, its own, as soon as there are two."""
    accounts = {name: _mapping(account) for name, account in _mapping(whole.get("accounts")).items()}
    clouds = {cloud for account in accounts.values() if isinstance(cloud := account.get("cloud"), str)}
    for cloud in sorted(clouds):
        alike = {name: account.get("account_id") for name, account in accounts.items() if account.get("cloud") == cloud}
        first: dict[Plain, str] = {}
        for name, account_id in alike.items():
            if account_id is None and len(alike) > 1:
                other = next(other for other in alike if other != name)
                reason = f'expected it because account "{other}" is of {cloud} too'
                yield _Misfit(
                    ("accounts", name), f'accounts.{name}: the key "account_id" is missing; {reason}', key=True
                )
            elif isinstance(account_id, str) and first.setdefault(account_id, name) != name:
                message = f'{shown(account_id)} is the account_id of "{first[account_id]}" already; expected its own'
                yield _Misfit(("accounts", name, "account_id"), f"accounts.{name}.account_id: {message}")


def _listeners(whole: dict[str, Plain]) -> Iterator[_Misfit]:
    """A port can be listened on once; and what a webhook source listens on must be an address at all."""
    ops = _mapping(whole.get("ops")).get("listen", "127.0.0.1:9464")
    taken: list[tuple[str, Listen]] = [("ops.listen", listen)] if (listen := _address(ops)) else []
    for source in _entries(whole, "sources", "webhook"):
        loc, text = (*source.loc, "listen"), source.data.get("listen")
        listen = _address(text)
        if listen is None and isinstance(text, str) and text:
            yield _Misfit(
                loc, f'{dotted(loc)}: {shown(text)} is not an address; expected host:port, such as "0.0.0.0:8443"'
            )
        elif listen is not None:
            for other, used in taken:
                if _same_port(listen, used):
                    yield _Misfit(
                        loc, f"{dotted(loc)}: port {listen.port} is used by {other} too; expected another port"
                    )
            taken.append((dotted(loc), listen))


def _same_port(one: Listen, other: Listen) -> bool:
    hosts = {one.host, other.host}
    return one.port == other.port != 0 and (len(hosts) == 1 or bool(hosts & _EVERYWHERE))


def _files(whole: dict[str, Plain]) -> Iterator[_Misfit]:
    """A file read twice gives every event twice; one written twice, or written and read, goes round and round."""
    sources, publishers = _entries(whole, "sources", "file"), _entries(whole, "publishers", "file")
    yield from _once(sources, _path, "is read by")
    yield from _once(publishers, _path, "is written by")
    read = {_path(source): source.loc for source in sources if _path(source)}
    for publisher in publishers:
        if (path := _path(publisher)) in read:
            loc = (*publisher.loc, "path")
            message = f"{shown(path)} is read by {dotted(read[path])}; expected completions not to come back as events"
            yield _Misfit(loc, f"{dotted(loc)}: {message}")


def _path(entry: _Entry) -> str:
    """A file's path, written one way."""
    return str(Path(entry.text("path"))) if entry.text("path") else ""


def _topics(whole: dict[str, Plain]) -> Iterator[_Misfit]:
    """Completions that come back as events fill the dead letters."""
    publishers = _entries(whole, "publishers", "kafka")
    yield from _once(publishers, _topic, "is written by", "topic")
    for publisher in publishers:
        for source in _entries(whole, "sources", "kafka"):
            topics = source.data.get("topics")
            if _brokers(source) & _brokers(publisher) and publisher.data.get("topic") in _list(topics):
                loc = (*publisher.loc, "topic")
                message = f"{shown(publisher.text('topic'))} is read by {dotted(source.loc)}"
                yield _Misfit(loc, f"{dotted(loc)}: {message}; expected completions not to come back as events")


def _topic(publisher: _Entry) -> str:
    servers = ",".join(sorted(_brokers(publisher)))
    return f"{publisher.text('topic')} at {servers}" if publisher.text("topic") and servers else ""


def _brokers(entry: _Entry) -> set[str]:
    servers = entry.data.get("bootstrap_servers")
    words = servers.split(",") if isinstance(servers, str) else _list(servers)
    return {word.strip() for word in words if isinstance(word, str)}


def _once(entries: Sequence[_Entry], value: Callable[[_Entry], str], used: str, key: str = "path") -> Iterator[_Misfit]:
    first: dict[str, _Loc] = {}
    for entry in entries:
        if (text := value(entry)) and first.setdefault(text, entry.loc) != entry.loc:
            loc = (*entry.loc, key)
            yield _Misfit(loc, f"{dotted(loc)}: {shown(text)} {used} {dotted(first[text])} already; expected it once")


def _entries(whole: dict[str, Plain], section: str, kind: str) -> list[_Entry]:
    entries = (_Entry((section, index), _mapping(data)) for index, data in enumerate(_list(whole.get(section))))
    return [entry for entry in entries if entry.data.get("type") == kind]


def _address(text: Plain) -> Listen | None:
    try:
        return parse_listen(text) if isinstance(text, str) else None
    except ValueError:
        return None  # said where it stands: by its model, or by the caller


def _mapping(value: Plain) -> dict[str, Plain]:
    return value if isinstance(value, dict) else {}


def _list(value: Plain) -> list[Plain]:
    return value if isinstance(value, list) else []


_RULES: Final[Sequence[Callable[[dict[str, Plain]], Iterator[_Misfit]]]] = (_account_ids, _listeners, _files, _topics)
