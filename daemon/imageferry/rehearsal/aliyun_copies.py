"""CopyImage and CancelCopyImage of the Alibaba Cloud rehearsal: the rules of a copy, its turn, and its client token.

The rehearsal's table of actions points here. A copy has no task: it is found as an image of its destination. What the
vendor leaves open is a switch of the options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from imageferry.core.times import SECOND
from imageferry.rehearsal.aliyun_calls import (
    FLAG,
    HERE,
    MOST_TAGS,
    TAGS,
    TEXT,
    Call,
    Copy,
    Repeat,
    World,
    alias_of,
    check_available,
    facts_of,
    image_of,
)
from imageferry.rehearsal.aliyun_options import AliyunOptions
from imageferry.rehearsal.misbehaviour import Aim
from imageferry.rehearsal.parameters import VendorError, Wanted
from imageferry.rehearsal.store import StoredImage, Task, disks_of

WANTED: Final = {
    **HERE,
    **TAGS,
    "ImageId": Wanted(TEXT, required=True),
    "DestinationRegionId": Wanted(TEXT),
    "DestinationImageName": Wanted(TEXT),
    "DestinationDescription": Wanted(TEXT),
    "Encrypted": Wanted(FLAG),
    "KMSKeyId": Wanted(TEXT),
    "EncryptAlgorithm": Wanted(TEXT),
    "ResourceGroupId": Wanted(TEXT),
    "ClientToken": Wanted(TEXT),
    "DryRun": Wanted(FLAG),
}
CANCEL_WANTED: Final = {**HERE, "ImageId": Wanted(TEXT, required=True)}

LONGEST_TOKEN: Final = 64
LONGEST_TAG: Final = 128

_NAME: Final = re.compile(r"(?!aliyun|acs:)(?!.*https?://)[A-Za-z\u3400-\u9fff][A-Za-z0-9\u3400-\u9fff.:_-]{1,127}")
_DESCRIPTION: Final = re.compile(r"(?!https?://).{2,256}", re.DOTALL)
_NO_TAG: Final = re.compile(r"aliyun|acs:|.*https?://", re.DOTALL)
_NO_VALUE: Final = re.compile(r"acs:|.*https?://", re.DOTALL)


def copy_image(world: World, call: Call, now: int) -> dict[str, Any]:
    """Start a copy unless a rule says no, or say again what was said to the same client token.

    :raises VendorError: a rule says no, or it was a dry run that passed.
    """
    _check_texts(call)
    token = (call.region, call.text("ClientToken"))
    if not token[1] or call.flag("DryRun"):
        return _copied(world, call, now)
    earlier = _remembered(world, call, now)
    if earlier is not None and earlier.answer is not None:
        if isinstance(earlier.answer, VendorError):
            raise VendorError(earlier.answer.code, earlier.answer.message)
        return dict(earlier.answer)
    return _first_answer(world, call, now)


def expect_late(world: World, call: Call) -> None:
    """Let a client token be in use before its request is carried out: the same again is refused meanwhile."""
    token = call.text("ClientToken")
    if call.action == "CopyImage" and token:
        world.repeats.setdefault((call.region, token), Repeat(call.at, call.request_id, call.params, None))


def _remembered(world: World, call: Call, now: int) -> Repeat | None:
    """The first request with the same token.

    :raises VendorError: it had other parameters, or is not done yet.
    """
    earlier, seconds = world.repeats.get((call.region, call.text("ClientToken"))), world.options.client_token_seconds
    if earlier is None or earlier.request_id == call.request_id:
        return None
    if seconds is not None and now >= earlier.at + int(seconds * SECOND):
        return None
    if dict(earlier.params) != dict(call.params):
        raise VendorError(world.options.mismatch_code, "The client token was used with other parameters.")
    if earlier.answer is None:
        raise VendorError("LastTokenProcessing", "The last request with this token is still being processed.")
    return earlier


def _first_answer(world: World, call: Call, now: int) -> dict[str, Any]:
    place = (call.region, call.text("ClientToken"))
    try:
        answer = _copied(world, call, now)
    except VendorError as refused:
        world.repeats.pop(place, None)
        if world.options.client_token_keeps_refusals:
            world.repeats[place] = Repeat(now, call.request_id, call.params, refused)
        raise
    world.repeats[place] = Repeat(now, call.request_id, call.params, answer)
    return answer


def _copied(world: World, call: Call, now: int) -> dict[str, Any]:
    """Check a copy by every rule that needs the world, and start it."""
    _check_destination(call, world.options)
    image = image_of(world, call, now)
    _check_kind(image)
    check_available(world, image, now)
    _check_encryption(image, call, world.options)
    _check_free(image, world.options, now)
    _check_room(world, call, image, now)
    if call.flag("DryRun"):
        raise VendorError("DryRunOperation", "Request validation has been passed with DryRun flag set.")
    return {"ImageId": _start(world, call, image, now)}


# --- rules ---------------------------------------------------------------------------------------------------------


def _check_texts(call: Call) -> None:
    name, description = call.text("DestinationImageName"), call.text("DestinationDescription")
    if name and _NAME.fullmatch(name) is None:
        raise VendorError("InvalidImageName.Malformed", "The specified DestinationImageName is wrongly formed.")
    if description and _DESCRIPTION.fullmatch(description) is None:
        raise VendorError("InvalidDescription.Malformed", "The specified description is wrongly formed.")
    token = call.text("ClientToken")
    if len(token) > LONGEST_TOKEN or not token.isascii():
        raise VendorError("InvalidParameter", f"ClientToken has at most {LONGEST_TOKEN} ASCII characters.")
    tags = call.pairs("Tag")
    if len(tags) > MOST_TAGS:
        raise VendorError("InvalidTagCount", f"At most {MOST_TAGS} tags may be given.")
    if len({key for key, _ in tags}) < len(tags):
        raise VendorError("InvalidParameter.TagDuplicate", "The tag keys are not different.")
    for key, value in tags:
        if not key or len(key) > LONGEST_TAG or _NO_TAG.match(key):
            raise VendorError("InvalidTagKey.Malformed", "The specified Tag.n.Key is not valid.")
        if len(value) > LONGEST_TAG or _NO_VALUE.match(value):
            raise VendorError("InvalidTagValue.Malformed", "The specified Tag.n.Value is not valid.")


def _check_destination(call: Call, options: AliyunOptions) -> None:
    region = call.text("DestinationRegionId") or call.region
    if region == call.region:
        raise VendorError("IncorrectDestinationRegion", "The destination region is the region of the image.")
    if region not in options.regions:
        raise VendorError("DestinationRegion.NotFound", "The specified destination region does not exist.")
    if region in options.refused_destinations:
        raise VendorError(options.refused_destinations[region], "The destination region takes no copies.")
    group = call.text("ResourceGroupId")
    if group and group not in options.resource_groups:
        raise VendorError("InvalidResourceGroup.NotFound", "The specified resource group does not exist.")


def _check_kind(image: StoredImage) -> None:
    own, alias = facts_of(image), alias_of(image)
    market = alias == "marketplace" or own.product_code != "" or image.facts.market_derived
    rules = (
        (own.community, "OperationDenied.CommunityImage", "Community images cannot be copied."),
        (alias == "others", "OperationDenied.SameRegionOnly", "Shared images are copied inside their region only."),
        (alias == "system", "ImageNotSupported", "The specified image is not a custom image."),
        (market, "OperationDenied.NotAuthorized", "The image comes from the Marketplace."),
    )
    for broken, code, words in rules:
        if broken:
            raise VendorError(code, words)


def _check_encryption(image: StoredImage, call: Call, options: AliyunOptions) -> None:
    if call.text("EncryptAlgorithm"):
        raise VendorError("InvalidEncryptAlgorithm", "EncryptAlgorithm is not available.")
    key = call.text("KMSKeyId")
    if key and not call.flag("Encrypted"):
        raise VendorError("InvalidEncrypted.NotMatchKmsKeyId", "KMSKeyId needs Encrypted to be true.")
    home = call.region if options.kms_key_region == "source" else call.text("DestinationRegionId")
    if key and options.kms_keys.get(key) != home:
        raise VendorError("InvalidParameter.KMSKeyId.NotFound", "The specified KMSKeyId does not exist.")
    if image.facts.encrypted and not call.flag("Encrypted") and options.encrypted_copies == "asked":
        raise VendorError("OperationDeined.EncryptedSnapshot", "Encrypted snapshots need Encrypted to be true.")


def _check_free(image: StoredImage, options: AliyunOptions, now: int) -> None:
    if image.copying_until > now:
        raise VendorError(options.copy_busy_code, "The specified image is being copied.")
    if image.exporting_until > now and not options.copies_during_exports:
        raise VendorError("ImageIsExporting", "The specified image is exporting.")


def _check_room(world: World, call: Call, image: StoredImage, now: int) -> None:
    region, name, quota = call.text("DestinationRegionId"), _name(call, image), world.options.image_quota
    if world.options.names_unique and world.store.named(region, name, now):
        raise VendorError("InvalidImageName.Duplicated", "The specified image name already exists.")
    own = sum(alias_of(each) == "self" for each in world.store.images(region, now))
    if quota is not None and own >= quota:
        raise VendorError("QuotaExceed.Image", "The maximum number of images is exceeded.")


# --- work ----------------------------------------------------------------------------------------------------------


def _start(world: World, call: Call, source: StoredImage, now: int) -> str:
    region, options = call.text("DestinationRegionId"), world.options
    struck = world.faults.strike_task(Aim(call.action, call.region, [source.id], [region]))
    fails = any(each.fault == "task_fails" for each in struck)
    running = world.store.running(call.action, call.region if options.copies_scope == "source" else region)
    most = options.copies_running
    begins_at = now if most is None else running.free_at(most, now)
    ends_at = begins_at + world.duration(options.copy_seconds)
    running.start(now, ends_at, begins_at)
    made = _new_image(world, call, source, now=now, ends_at=ends_at, fails=fails)
    world.store.put(made)
    source.copying_until = max(source.copying_until, ends_at)
    world.journal.accepted[call.action, source.id, region] += 1
    task = Task(
        id=made.id,
        action=call.action,
        region=call.region,
        image_id=source.id,
        destination=region,
        request_id=call.request_id,
        requested_at=call.at,
        accepted_at=now,
        ends_at=ends_at,
        fails=fails,
        new_image_id=made.id,
    )
    world.store.tasks.append(task)
    world.copies[region, made.id] = Copy(task, begins_at)
    return made.id


def _new_image(world: World, call: Call, source: StoredImage, *, now: int, ends_at: int, fails: bool) -> StoredImage:
    own = {
        "copied": True,
        "description": call.text("DestinationDescription"),
        "resource_group": call.text("ResourceGroupId"),
        "os_type": facts_of(source).os_type,
        "boot_mode": facts_of(source).boot_mode,
    }
    tags: Mapping[str, str] = dict(call.pairs("Tag"))
    facts = replace(
        source.facts,
        region=call.text("DestinationRegionId"),
        encrypted=source.facts.encrypted or call.flag("Encrypted"),
        tags={**source.facts.tags, **tags} if world.options.copies_keep_tags else tags,
        extra=own,
    )
    return StoredImage(
        id=world.new_id("m"),
        region=facts.region,
        facts=facts,
        name=_name(call, source),
        disks=disks_of(facts, world.store),
        created_at=now,
        ready_at=ends_at,
        fails=fails,
        vanishes=fails and world.options.copy_failure == "gone",
    )


def _name(call: Call, source: StoredImage) -> str:
    return call.text("DestinationImageName") or source.name


def cancel_copy_image(world: World, call: Call, now: int) -> dict[str, Any]:
    """Stop a copy that runs, and take its new image away; the source may be copied again.

    :raises VendorError: there is no such image here, or it is not being copied.
    """
    image = image_of(world, call, now)
    copy = world.copies.get((call.region, image.id))
    if copy is None:
        raise VendorError("ImageCreatedNotFromCopy", "The specified image was not made by CopyImage.")
    if now >= image.ready_at:
        raise VendorError("IncorrectImageStatus", "The status of the specified image does not support this operation.")
    task = copy.task
    world.store.take_away(call.region, image.id)
    source = world.store.image(task.region, task.image_id, now)
    if source is not None:
        source.copying_until = now
    scope = task.region if world.options.copies_scope == "source" else task.destination
    world.store.running(task.action, scope).stop(task.ends_at)
    return {}
