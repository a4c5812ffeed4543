"""Huawei Cloud's error codes as classes: tables only, looked up exactly first.

The client and the jobs of this cloud classify every refusal with them. Nearly every code of the image service comes
with HTTP 400, whatever it is about: a status counts only where there is no code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageferry.core.answers import AnswerClass


def _rows(table: Mapping[AnswerClass, str]) -> dict[str, AnswerClass]:
    return {f"IMG.{number}": klass for klass, numbers in table.items() for number in numbers.split()}


IMS: Final[dict[str, AnswerClass]] = _rows(
    {
        "retry": "0014 0018 0023 0036 0037 0040 0053 0061 0064 0065 0154 0191",
        "throttled": "0187",
        "wait_quota": "0015 0060 0116 0149 0182 0185",
        "wait_image": "0046 0148 0152",
        "permanent_image": (
            "0027 0031 0047 0059 0066 0071 0077 0078 0079 0080 0081 0086 0105 0106 0128 0130 0143 0144 0146 0160"
            " 0167 0196 0197"
        ),
        "permanent_config": (
            "0001 0002 0003 0004 0007 0009 0013 0017 0054 0058 0062 0068 0069 0070 0072 0073 0074 0075 0095 0096 0097"
            " 0099 0100 0101 0102 0103 0104 0109 0142 0145 0147 0150 0151 0155 0156 0175 0179 0184 0188 0189 0193"
            " 0239 0241 0242"
        ),
        "auth": "0026 0030 0067 0087 0161 0238",
    }
)
"""The image service's own codes, of answers and of failed jobs."""

ABOUT_RUNNING: Final = frozenset({"IMG.0060", "IMG.0149"})
"""Of the codes of class ``wait_quota``: those that are about running tasks."""
OBJECT_EXISTS: Final = "IMG.0070"
NAME_TAKEN: Final = frozenset({"IMG.0009", "IMG.0150"})
"""The target has an image of that name, or the backup that such a copy makes."""
TOO_LARGE: Final = frozenset({"IMG.0059", "IMG.0160"})
"""Too large for an export that is not quick."""
SECOND_CHANCE: Final = frozenset({"IMG.0069", "IMG.0155", "IMG.0156"})
"""Permanent only when they come twice; so is every code of the image service that no table has."""
TOKEN_WRONG: Final = "IMG.0087"  # noqa: S105 - the vendor's code

GATEWAY: Final[dict[str, AnswerClass]] = {
    "0101": "permanent_config",
    "0103": "retry",
    "0104": "retry",
    "0105": "retry",
    "0106": "retry",
    "0201": "permanent_config",
    "0204": "permanent_config",
    "0301": "auth",
    "0302": "auth",
    "0303": "auth",
    "0304": "auth",
    "0305": "auth",
    "0306": "auth",
    "0307": "auth",
    "0308": "throttled",
    "0310": "auth",
    "0311": "auth",
    "0401": "permanent_config",
    "0402": "permanent_config",
    "0404": "permanent_config",
    "0501": "permanent_config",
    "0502": "permanent_config",
    "0601": "retry",
    "0602": "permanent_config",
    "0605": "retry",
    "0606": "retry",
    "0607": "permanent_config",
    "0608": "retry",
    "0609": "retry",
    "0610": "retry",
    "0611": "retry",
    "0612": "retry",
    "0613": "retry",
    "0705": "retry",
    "0801": "auth",
    "0802": "auth",
}
"""What follows ``APIGW.`` or ``APIG.``: the gateways differ in the prefix only."""

SERVER_FAULT: Final[dict[str, AnswerClass]] = {"0201": "retry"}
"""The same, where the HTTP status is 500 or more."""

IAM: Final[dict[str, AnswerClass]] = dict.fromkeys(
    (
        *("IAM.0001", "IAM.0061", "IAM.0062", "IAM.0063", "IAM.0064", "IAM.0065", "IAM.0066", "IAM.0067"),
        *("IAM.0002", "IAM.0003", "IAM.0080", "IAM.0081", "IAM.0082", "IAM.0083"),
    ),
    "auth",
)

STATUS: Final[dict[int, AnswerClass]] = {
    401: "auth",
    403: "auth",
    404: "permanent_image",
    407: "auth",
    408: "retry",
    409: "wait_image",
    425: "retry",
    429: "throttled",
}
"""Without a code: 5xx is ``retry``, every other 4xx ``permanent_config``."""

GATEWAYS: Final = frozenset({"APIG", "APIGW"})
NOT_PROVEN: Final = frozenset({"0301", "0303", "0305", "0307", "0311"})
"""Gateway numbers that say: it is not known who asks. Newer keys, or the vendor's time, may help."""

_EXACT: Final = IMS | IAM
_IMS: Final = "IMG"
_SERVER: Final = 500


def classify(code: str, status: int) -> AnswerClass:
    """The class of a refusal; ``code`` is empty where there is none."""
    if code in _EXACT:
        return _EXACT[code]
    family, _, number = code.partition(".")
    if family in GATEWAYS:
        known = SERVER_FAULT.get(number) if status >= _SERVER else None
        return known or GATEWAY.get(number) or by_status(status)
    return "permanent_config" if family == _IMS else by_status(status)


def by_status(status: int) -> AnswerClass:
    """The class of an HTTP status."""
    return STATUS.get(status) or ("retry" if status >= _SERVER else "permanent_config")


def has_second_chance(code: str) -> bool:
    """Whether a refusal is permanent only when it comes twice."""
    return code in SECOND_CHANCE or (code.startswith(f"{_IMS}.") and code not in IMS)


def not_proven(code: str, status: int) -> bool:
    """Whether a refusal says that who asks is not known; what a known asker may not do is another matter."""
    family, _, number = code.partition(".")
    if family in GATEWAYS:
        return number in NOT_PROVEN
    return code == TOKEN_WRONG or (status == 401 and (not code or family == "IAM"))  # noqa: PLR2004 - HTTP's own number
