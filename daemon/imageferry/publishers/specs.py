"""What the config file says about each kind of publisher; settings validates with it, the builders read it.

Nothing here opens anything. A secret's ``*_file`` sibling is read by settings before these models see the value.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

from imageferry.kafkaconn import KafkaConnection, Topic

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)


class KafkaSpec(KafkaConnection):
    """Completions as messages on a Kafka topic."""

    type: Literal["kafka"] = "kafka"
    topic: Topic = Field(description="The topic to write to; it must exist")


class WebhookSpec(BaseModel):
    """Completions by HTTP POST."""

    model_config = _STRICT

    type: Literal["webhook"] = "webhook"
    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@]+(/\S*)?$")] = Field(
        description="Where completions are posted"
    )
    secret: SecretStr = Field(description="What each request is signed with; or secret_file")


class FileSpec(BaseModel):
    """Completions in a file, one JSON object a line."""

    model_config = _STRICT

    type: Literal["file"] = "file"
    path: str = Field(min_length=1, description="The file that each completion is appended to")


class LogSpec(BaseModel):
    """Completions as lines of the daemon's own log."""

    model_config = _STRICT

    type: Literal["log"] = "log"


Spec = Annotated[KafkaSpec | WebhookSpec | FileSpec | LogSpec, Field(discriminator="type")]
"""Any publisher, told apart by ``type``."""
