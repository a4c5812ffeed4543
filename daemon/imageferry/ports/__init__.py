"""The ports: what flow needs from the outside, as small Protocols and the records that pass through them.

Adapters (sources, clouds, ledgers, publishers) implement them; flow is their only user. All times are integer
microseconds UTC unless a name says ``seconds``.
"""

from __future__ import annotations

from imageferry.ports.clock import Clock
from imageferry.ports.clouds import (
    Absent,
    Accepted,
    Cloud,
    Finding,
    Following,
    Found,
    Frozen,
    Gate,
    Gone,
    ImagePage,
    Look,
    Lost,
    Permit,
    Progress,
    Unclear,
)
from imageferry.ports.inquiries import Bucket, Identity, Inquirer, Quota
from imageferry.ports.ledger import Ledger, Reader
from imageferry.ports.listing import own_images
from imageferry.ports.publishers import Publisher
from imageferry.ports.records import (
    Admitted,
    Claim,
    Counted,
    Covered,
    DeadLetter,
    DueLook,
    EventRow,
    HistoryRow,
    Ignored,
    ImageRow,
    IntakeRow,
    LetterHead,
    LookDone,
    LookLater,
    Move,
    NewlyDone,
    OutboxRow,
    PutIn,
    Recorded,
    Unprotected,
)
from imageferry.ports.sources import Delivery, EventSource, Headers, Intake, Partly, Sighting, Unreadable

__all__ = [
    "Absent",
    "Accepted",
    "Admitted",
    "Bucket",
    "Claim",
    "Clock",
    "Cloud",
    "Counted",
    "Covered",
    "DeadLetter",
    "Delivery",
    "DueLook",
    "EventRow",
    "EventSource",
    "Finding",
    "Following",
    "Found",
    "Frozen",
    "Gate",
    "Gone",
    "Headers",
    "HistoryRow",
    "Identity",
    "Ignored",
    "ImagePage",
    "ImageRow",
    "Inquirer",
    "Intake",
    "IntakeRow",
    "Ledger",
    "LetterHead",
    "Look",
    "LookDone",
    "LookLater",
    "Lost",
    "Move",
    "NewlyDone",
    "OutboxRow",
    "Partly",
    "Permit",
    "Progress",
    "Publisher",
    "PutIn",
    "Quota",
    "Reader",
    "Recorded",
    "Sighting",
    "Unclear",
    "Unprotected",
    "Unreadable",
    "own_images",
]
