"""The tags of an image at the Huawei Cloud rehearsal: reading them, and setting or deleting several at once.

The rehearsal's table of operations points here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from imageferry.rehearsal.huawei_calls import MALFORMED, Answered, Call, World, image_of, is_own
from imageferry.rehearsal.parameters import STRING, Shape, VendorError, Wanted

LONGEST_KEY: Final = 36
LONGEST_VALUE: Final = 43
MOST: Final = 10


def _is_tag(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("key"), str)
        and value.keys() <= {"key", "value"}
        and isinstance(value.get("value", ""), str)
    )


ACTION_WANTED: Final = {
    "action": Wanted(STRING, required=True),
    "tags": Wanted(
        Shape("a list of {key, value}", lambda value: isinstance(value, list) and all(map(_is_tag, value))),
        required=True,
    ),
}


def list_image_tags(world: World, call: Call, now: int) -> Mapping[str, Any]:
    """The tags of one image.

    :raises VendorError: there is no such image.
    """
    image = image_of(world, call, now)
    return {"tags": [{"key": key, "value": value} for key, value in image.facts.tags.items()]}


def batch_add_or_delete_tags(world: World, call: Call, now: int) -> Answered:
    """Set tags of an image, or delete them.

    :raises VendorError: a rule says no.
    """
    image = image_of(world, call, now)
    if not is_own(image, call):
        raise VendorError("IMG.0047", f"The image {image.id} belongs to another.")
    given = {each["key"]: each.get("value", "") for each in call.params["tags"]}
    for key, value in given.items():
        if not 1 <= len(key) <= LONGEST_KEY or len(value) > LONGEST_VALUE:
            raise VendorError(MALFORMED, "A tag is too long.")
    if call.text("action") == "create":
        tags = {**image.facts.tags, **given}
    elif call.text("action") == "delete":
        tags = {key: value for key, value in image.facts.tags.items() if key not in given}
    else:
        raise VendorError(MALFORMED, "The action must be create or delete.")
    if len(tags) > MOST:
        raise VendorError("IMG.0116", f"An image has at most {MOST} tags.")
    image.facts = replace(image.facts, tags=tags)
    return Answered({}, 204)
