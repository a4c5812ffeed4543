"""The table of what Tencent Cloud's services do in a rehearsal, which looks every request up in it."""

from __future__ import annotations

from typing import Final

from imageferry.rehearsal.parameters import VendorError
from imageferry.rehearsal.tencent_calls import Action
from imageferry.rehearsal.tencent_copies import WANTED as SYNC_WANTED
from imageferry.rehearsal.tencent_copies import sync_images
from imageferry.rehearsal.tencent_exports import WANTED as EXPORT_WANTED
from imageferry.rehearsal.tencent_exports import export_images
from imageferry.rehearsal.tencent_identity import (
    ROLE_WANTED,
    WEB_WANTED,
    assume_role,
    assume_role_with_web_identity,
    get_caller_identity,
)
from imageferry.rehearsal.tencent_images import (
    IMAGES_WANTED,
    SNAPSHOTS_WANTED,
    describe_image_quota,
    describe_images,
    describe_snapshots,
)

VERSIONS: Final = {"cvm": "2017-03-12", "cbs": "2017-03-12", "sts": "2018-08-13"}

ACTIONS: Final[dict[str, dict[str, Action]]] = {
    "cvm": {
        "DescribeImages": Action(IMAGES_WANTED, describe_images),
        "DescribeImageQuota": Action({}, describe_image_quota),
        "ExportImages": Action(EXPORT_WANTED, export_images),
        "SyncImages": Action(SYNC_WANTED, sync_images),
    },
    "cbs": {"DescribeSnapshots": Action(SNAPSHOTS_WANTED, describe_snapshots)},
    "sts": {
        "GetCallerIdentity": Action({}, get_caller_identity, needs_region=False),
        "AssumeRole": Action(ROLE_WANTED, assume_role),
        "AssumeRoleWithWebIdentity": Action(WEB_WANTED, assume_role_with_web_identity, signed=False),
    },
}
"""Service -> action -> what it does."""


def find_action(service: str, name: str, version: str) -> Action:
    """The action of a service.

    :raises VendorError: there is no such service, version or action.
    """
    actions = ACTIONS.get(service)
    if actions is None:
        raise VendorError("NoSuchProduct", f"The product `{service}` does not exist.")
    if version != VERSIONS[service]:
        raise VendorError("NoSuchVersion", f"The version `{version}` does not exist.")
    if name not in actions:
        raise VendorError("InvalidAction", f"The action `{name}` does not exist.")
    return actions[name]
