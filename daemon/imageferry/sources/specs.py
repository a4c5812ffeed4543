"""What the config file says about each kind of source; settings validates with it, the builders read it.

Nothing here opens anything. A secret's ``*_file`` sibling is read by settings before these models see the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from imageferry.core.units import Duration
from imageferry.kafkaconn import KafkaConnection, Topics
from imageferry.sources.mapping import Mapper, MappingSpec

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)


class KafkaSpec(KafkaConnection):
    """A Kafka consumer group that reads events."""

    type: Literal["kafka"] = "kafka"
    topics: Topics = Field(description="The topics to read; they must exist")
    group_id: str = Field(
        default="imageferry", min_length=1, max_length=255, description="The consumer group that shares the partitions"
    )
    instance_id: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Names this daemon within the group, the same after a restart; default: the host's name",
    )
    mapping: MappingSpec | None = None


class FileSpec(BaseModel):
    """Events from a file, one JSON object a line; ``-`` is standard input."""

    model_config = _STRICT

    type: Literal["file"] = "file"
    path: str = Field(min_length=1, description="A path that need not exist yet, or - for standard input")
    mapping: MappingSpec | None = None


class WebhookSpec(BaseModel):
    """Events by HTTP POST, on a port of its own."""

    model_config = _STRICT

    type: Literal["webhook"] = "webhook"
    listen: str = Field(min_length=1, description="host:port to listen on")
    path: Annotated[str, StringConstraints(pattern=r"^/[^\s?#]*$")] = Field(
        default="/events", description="The path that takes events"
    )
    secret: SecretStr = Field(min_length=1, description="What a sender proves itself by; or secret_file")
    mapping: MappingSpec | None = None


class PollingSpec(BaseModel):
    """Asks every account and region for new images."""

    model_config = _STRICT

    type: Literal["polling"] = "polling"
    every: Duration = Field(description="How often each account and region is asked")
    since: Duration | None = Field(default=None, description="How far back a region's first round reaches")


Spec = Annotated[KafkaSpec | FileSpec | WebhookSpec | PollingSpec, Field(discriminator="type")]
"""Any source, told apart by ``type``."""


def mappers_of(specs: Sequence[BaseModel]) -> list[Mapper]:
    """The mappings of all sources that have one, each once."""
    mappings = [mapping for spec in specs if isinstance(mapping := getattr(spec, "mapping", None), MappingSpec)]
    return [Mapper(mapping) for place, mapping in enumerate(mappings) if mapping not in mappings[:place]]
