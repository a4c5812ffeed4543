"""How a Kafka cluster is reached: the fields every Kafka source and publisher shares, and what their client says.

Used by the two Kafka adapters and, through their specs, by settings. It does not import the Kafka client: the
adapters do, and pass on what :func:`client_options` gives them.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import structlog
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from imageferry.errors import ImageferryError

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_LAST_PORT: Final = 65_535


class UnusableTls(ImageferryError):
    """The TLS files named in the config cannot be used; the message says which and why."""


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _as_servers(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return _as_tuple(value)


def _server(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) <= _LAST_PORT):
        raise PydanticCustomError(
            "kafka_server", "not a broker's address; write host:port, for example kafka-1.example.com:9092"
        )
    if any(c.isspace() or c in "/@" for c in host):
        raise PydanticCustomError("kafka_server", "a broker's address is host:port alone, without scheme or user")
    return value


Topic = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,249}$")]
"""A topic's name as Kafka allows it."""

Topics = Annotated[tuple[Topic, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
"""One or more topics."""

Servers = Annotated[
    tuple[Annotated[str, BeforeValidator(lambda v: _server(v) if isinstance(v, str) else v)], ...],
    BeforeValidator(_as_servers, json_schema_input_type=str | list[str]),
    Field(min_length=1),
]
"""``host:port`` addresses, as a list or separated by commas."""


class Tls(BaseModel):
    """The files of a TLS connection, all PEM."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    ca_file: str | None = Field(default=None, min_length=1, description="CA certificates; default: the system's")
    cert_file: str | None = Field(default=None, min_length=1, description="The client's certificate")
    key_file: str | None = Field(default=None, min_length=1, description="The client's key; may be in cert_file")
    key_password: SecretStr | None = Field(default=None, description="The password of the client's key")

    @model_validator(mode="after")
    def _key_belongs_to_certificate(self) -> Self:
        if self.key_file is not None and self.cert_file is None:
            raise PydanticCustomError("kafka_tls", "key_file is given without cert_file; give both or neither")
        if self.key_password is not None and self.cert_file is None:
            raise PydanticCustomError("kafka_tls", "key_password is given without cert_file; give both or neither")
        return self


class KafkaConnection(BaseModel):
    """The fields by which a Kafka cluster is reached."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    bootstrap_servers: Servers = Field(description="host:port of one or more brokers, separated by commas")
    security_protocol: SecurityProtocol = Field(
        default="PLAINTEXT", description="PLAINTEXT, SSL (TLS), SASL_PLAINTEXT or SASL_SSL"
    )
    sasl_mechanism: SaslMechanism | None = Field(
        default=None, description="With SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    sasl_username: str | None = Field(default=None, min_length=1, description="With SASL: who logs in")
    sasl_password: SecretStr | None = Field(default=None, description="With SASL: the password; or sasl_password_file")
    tls: Tls | None = None

    @property
    def servers(self) -> str:
        """The brokers' addresses as one text, for messages and for the client."""
        return ",".join(self.bootstrap_servers)

    @property
    def uses_sasl(self) -> bool:
        """Whether the client logs in with a user name and a password."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security_protocol.endswith("SSL")

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        given = {
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_username": self.sasl_username,
            "sasl_password": self.sasl_password,
        }
        complaint = _sasl_complaint(self.security_protocol, uses=self.uses_sasl, given=given)
        if complaint is None and self.tls is not None and not self.uses_tls:
            complaint = f"tls is given, but security_protocol is {self.security_protocol}; use SSL or SASL_SSL"
        if complaint is not None:
            raise PydanticCustomError("kafka_security", "{complaint}", {"complaint": complaint})
        return self


def _sasl_complaint(protocol: str, *, uses: bool, given: dict[str, Any]) -> str | None:
    missing = [name for name, value in given.items() if value is None]
    extra = [name for name, value in given.items() if value is not None]
    if uses and missing:
        return f"security_protocol {protocol} needs {', '.join(missing)} too"
    if not uses and extra:
        return f"{', '.join(extra)} given, but security_protocol is {protocol}; use SASL_SSL or SASL_PLAINTEXT"
    return None


def client_options(spec: KafkaConnection) -> dict[str, Any]:
    """The Kafka client's connection arguments; reads the TLS files, so call it off the event loop.

    :raises UnusableTls: a file is missing, unreadable or not what it should be.
    """
    options: dict[str, Any] = {"bootstrap_servers": spec.servers, "security_protocol": spec.security_protocol}
    if spec.uses_tls:
        options["ssl_context"] = _ssl_context(spec.tls or Tls())
    if spec.uses_sasl and spec.sasl_password is not None:
        options["sasl_mechanism"] = spec.sasl_mechanism
        options["sasl_plain_username"] = spec.sasl_username
        options["sasl_plain_password"] = spec.sasl_password.get_secret_value()
    return options


def _ssl_context(tls: Tls) -> ssl.SSLContext:
    for name, path in (("ca_file", tls.ca_file), ("cert_file", tls.cert_file), ("key_file", tls.key_file)):
        if path is not None and not Path(path).is_file():
            raise UnusableTls(f"tls.{name}: {path} is not there; give the path of a PEM file")
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UnusableTls(f"tls.ca_file: {tls.ca_file} cannot be read as PEM certificates: {error}") from error
    if tls.cert_file is not None:
        _load_client_certificate(context, tls, tls.cert_file)
    return context


def _load_client_certificate(context: ssl.SSLContext, tls: Tls, cert_file: str) -> None:
    # Without a password OpenSSL would ask for one on the terminal and hang a daemon: an empty one fails instead.
    password = tls.key_password.get_secret_value() if tls.key_password is not None else ""
    try:
        context.load_cert_chain(cert_file, tls.key_file, password)
    except (OSError, ssl.SSLError) as error:
        raise UnusableTls(
            f"tls.cert_file: {cert_file} with key {tls.key_file or cert_file} cannot be used: {error};"
            " check that they belong together and that key_password is right"
        ) from error


_SIGNS: Final = (
    (r"certificate verify failed", "the broker's certificate was not accepted; check tls.ca_file and the host name"),
    (r"SaslAuthenticationFailed|AuthenticationFailed", "the user name or the password is wrong; check sasl_username"),
    (r"UnsupportedSaslMechanism", "the broker does not offer this sasl_mechanism; choose another"),
    (r"IllegalSaslState", "the broker does not ask for a login on this port; check the port or security_protocol"),
    (r"certificate[ _]required|ALERT|alert", "the broker refused the TLS connection; check tls.cert_file"),
    (r"WRONG_VERSION_NUMBER|record layer", "the broker does not speak TLS on this port; check security_protocol"),
    (r"TopicAuthorizationFailed|Not authorized to read", "the user may not use the topic; give it the right to"),
    (r"GroupAuthorizationFailed", "the user may not use the consumer group; check group_id"),
    (r"FencedInstanceId", "another daemon uses the same instance_id; give each its own"),
    (r"[Nn]ame or service not known|name resolution|No address", "the broker's host name cannot be resolved"),
    (r"Connect call failed|refused|unreachable|Multiple exceptions", "the broker is down or unreachable"),
    (
        r"member_id was not recognized",
        "this member was put out of its group; when that repeats, another daemon has the same instance_id",
    ),
    (
        r"Connection at \S+ closed",
        "the broker closed the connection; a wrong security_protocol, a missing login or client certificate looks so",
    ),
    (r"connect to \S+: $|RequestTimedOut|TimeoutError|timed out", "the broker takes no connection or does not answer"),
)
"""What the client's log lines mean to an operator, the most telling first."""

_SAY_AGAIN: Final = 30.0
"""Seconds in which the same kind of line is logged once."""


class Ear(logging.Handler):
    """Listens to what the Kafka client says in its log, for one source or publisher.

    The client raises the same error for a wrong password, a wrong CA and a dead broker; which of them it was stands
    only in its log, which also repeats itself for as long as a broker is away. ``reason`` is the most telling thing
    heard since :meth:`forget`; the lines themselves are logged again, each kind at most every 30 seconds.
    """

    def __init__(self, name: str, servers: str, monotonic: Callable[[], float]) -> None:
        super().__init__(logging.WARNING)
        self._log = structlog.get_logger("imageferry.kafka").bind(kafka=name, brokers=servers)
        self._servers = servers
        self._monotonic = monotonic
        self._heard: dict[int, str] = {}
        self._said: dict[str, tuple[float, int]] = {}

    @property
    def reason(self) -> str | None:
        """Why the brokers cannot be used, with the client's own words; None when nothing was heard."""
        if not self._heard:
            return None
        rank = min(self._heard)
        meaning = _SIGNS[rank][1] if rank < len(_SIGNS) else "the Kafka client complains"
        return f"Kafka at {self._servers}: {meaning} ({self._heard[rank]})"

    def forget(self) -> None:
        """The connection works: what was heard before is past."""
        self._heard.clear()

    def emit(self, record: logging.LogRecord) -> None:
        """Take in one line, when it was written by the tasks of this ear's owner."""
        if _OWNER.get() is not self:
            return
        text = record.getMessage()
        rank = next((i for i, (sign, _) in enumerate(_SIGNS) if re.search(sign, text)), len(_SIGNS))
        if rank < len(_SIGNS) or record.levelno >= logging.ERROR:
            self._heard[rank] = text.strip()
        self._pass_on(record, text)

    def _pass_on(self, record: logging.LogRecord, text: str) -> None:
        now = self._monotonic()
        last, unsaid = self._said.get(str(record.msg), (-_SAY_AGAIN, 0))
        if now - last < _SAY_AGAIN:
            self._said[str(record.msg)] = (last, unsaid + 1)
            return
        self._said[str(record.msg)] = (now, 0)
        self._log.log(record.levelno, "the Kafka client says", text=text, unsaid=unsaid)


_OWNER: ContextVar[Ear | None] = ContextVar("kafka_ear", default=None)
"""Whose client is speaking: the client's background tasks inherit it from the task that started them."""


@contextmanager
def attached(ear: Ear) -> Iterator[None]:
    """Connect ``ear`` to the client's log; while any is, the client's own lines go nowhere else: they are a flood."""
    client_log = logging.getLogger("aiokafka")
    if not _ears(client_log):
        _level_before[:] = [client_log.level]
    client_log.setLevel(logging.WARNING)
    client_log.propagate = False
    client_log.addHandler(ear)
    try:
        yield
    finally:
        client_log.removeHandler(ear)
        if not _ears(client_log):
            client_log.propagate = True
            client_log.setLevel(_level_before.pop())


@contextmanager
def speaking(ear: Ear) -> Iterator[None]:
    """Whatever the client says in this task, or in tasks that are started from it now, is for ``ear``."""
    token = _OWNER.set(ear)
    try:
        yield
    finally:
        _OWNER.reset(token)


_level_before: Final[list[int]] = []
"""The level of the client's log before the first ear was attached."""


def _ears(client_log: logging.Logger) -> list[logging.Handler]:
    return [handler for handler in client_log.handlers if isinstance(handler, Ear)]
