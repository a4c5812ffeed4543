"""What stands before Huawei Cloud's services: which operation is meant, who asks, for which project, how often.

The rehearsal asks it once for each request of the API. It performs no operation and answers nothing; what it refuses,
it refuses with the vendor's own code. It locks keys as the vendor does.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote

from imageferry.core.times import SECOND
from imageferry.ports import Clock
from imageferry.rehearsal.huawei_answers import THROTTLED, Unfit
from imageferry.rehearsal.huawei_calls import MALFORMED, OUTWARDLY_MALFORMED, Call, Operation, World
from imageferry.rehearsal.huawei_copies import CROSS_WANTED, WITHIN_WANTED, copy_across, copy_within
from imageferry.rehearsal.huawei_exports import WANTED as EXPORT_WANTED
from imageferry.rehearsal.huawei_exports import export_image
from imageferry.rehearsal.huawei_identity import (
    AUTH_WANTED,
    OIDC_WANTED,
    PROJECTS_WANTED,
    assume_agency_with_oidc,
    create_federated_token,
    create_temporary_key,
    create_user_token,
    get_caller_identity,
    list_auth_domains,
    list_projects,
)
from imageferry.rehearsal.huawei_images import WANTED as IMAGES_WANTED
from imageferry.rehearsal.huawei_images import list_images, show_image_quota
from imageferry.rehearsal.huawei_jobs import show_job, show_job_progress
from imageferry.rehearsal.huawei_options import HuaweiOptions, region_of
from imageferry.rehearsal.huawei_signatures import (
    PREFIX,
    REFUSED,
    BadSignature,
    check_sdk_hmac,
    claimed_key,
    query_pairs,
)
from imageferry.rehearsal.huawei_tags import ACTION_WANTED, batch_add_or_delete_tags, list_image_tags
from imageferry.rehearsal.parameters import VendorError, read_object
from imageferry.rehearsal.signatures import SignatureRefused, Signed
from imageferry.rehearsal.windows import RateWindows

LARGEST_BODY: Final = 12 << 20
LONGEST_URI: Final = 32 << 10

_WHOLE: Final = "the image service"
"""What all its operations together are counted as."""


def _at(path: str) -> re.Pattern[str]:
    """The pattern of a path, as ``/v1/{project}/jobs/{id}`` describes it."""
    return re.compile(path.replace("{project}", "(?P<project>[^/]+)").replace("{id}", "(?P<id>[^/]+)"))


_IMAGE: Final = "/v(?:1|2[.]1)/cloudimages/{id}"
"""The older path and the newer one beside it, which do the same."""
_TAGS: Final = "/v2/{project}/images/{id}/tags"
_SECURITY_TOKENS: Final = "/v3.0/OS-CREDENTIAL/securitytokens"

OPERATIONS: Final = (
    Operation("ExportImage", "ims", "POST", _at(f"{_IMAGE}/file"), EXPORT_WANTED, export_image),
    Operation(
        "CopyImageCrossRegion", "ims", "POST", _at("/v1/cloudimages/{id}/cross_region_copy"), CROSS_WANTED, copy_across
    ),
    Operation("CopyImageInRegion", "ims", "POST", _at(f"{_IMAGE}/copy"), WITHIN_WANTED, copy_within),
    Operation("ListImages", "ims", "GET", _at("/v2/cloudimages"), IMAGES_WANTED, list_images),
    Operation("ShowJobProgress", "ims", "GET", _at("/v1/cloudimages/job/{id}"), {}, show_job_progress),
    Operation("ShowJob", "ims", "GET", _at("/v1/{project}/jobs/{id}"), {}, show_job),
    Operation("ShowImageQuota", "ims", "GET", _at("/v1/cloudimages/quota"), {}, show_image_quota),
    Operation("ListImageTags", "ims", "GET", _at(_TAGS), {}, list_image_tags),
    Operation("BatchAddOrDeleteTags", "ims", "POST", _at(f"{_TAGS}/action"), ACTION_WANTED, batch_add_or_delete_tags),
    Operation("KeystoneListProjects", "iam", "GET", _at("/v3/projects"), PROJECTS_WANTED, list_projects),
    Operation("KeystoneListAuthDomains", "iam", "GET", _at("/v3/auth/domains"), {}, list_auth_domains),
    Operation(
        "KeystoneCreateUserTokenByPassword",
        "iam",
        "POST",
        _at("/v3/auth/tokens"),
        AUTH_WANTED,
        create_user_token,
        signed=False,
    ),
    Operation(
        "CreateUnscopedTokenWithIdToken",
        "iam",
        "POST",
        _at("/v3.0/OS-AUTH/id-token/tokens"),
        AUTH_WANTED,
        create_federated_token,
        signed=False,
    ),
    Operation(
        "CreateTemporaryAccessKey",
        "iam",
        "POST",
        _at(_SECURITY_TOKENS),
        AUTH_WANTED,
        create_temporary_key,
        signed=False,
    ),
    Operation("GetCallerIdentity", "sts", "GET", _at("/v5/caller-identity"), {}, get_caller_identity),
    Operation(
        "AssumeAgencyWithOIDC",
        "sts",
        "POST",
        _at("/v5/agencies/assume-with-oidc"),
        OIDC_WANTED,
        assume_agency_with_oidc,
        signed=False,
    ),
)
"""Everything that one address serves, whichever host of the vendor's it stands for."""


class Gateway:
    """Lets requests in, or refuses them."""

    def __init__(self, world: World, clock: Clock) -> None:
        self._world = world
        self._clock = clock
        self._windows = RateWindows()
        self._bad: Counter[str] = Counter()
        self._locked_until: dict[str, int] = {}
        self.locks = 0
        """How often a key was locked."""

    def identify(self, signed: Signed, request_id: str, at: int) -> tuple[Operation | None, Call]:
        """Which operation a request means, proved or not, and the call without project and parameters."""
        path = unquote(signed.path)
        for operation in OPERATIONS:
            found = operation.path.fullmatch(path)
            if found is not None and operation.method == signed.method:
                resource = found.groupdict().get("id", "")
                return operation, Call(operation.name, "", "", resource, {}, request_id, at, signed.headers)
        return None, Call("unknown", "", "", "", {}, request_id, at)

    def admit(self, signed: Signed, operation: Operation | None, call: Call) -> tuple[Operation, Call]:
        """Everything that is checked before a fault can befall a request; the call with project and parameters.

        :raises VendorError: it is refused.
        """
        options = self._world.options
        _check_size(signed)
        if operation is None:
            raise VendorError("APIGW.0101", "The API does not exist or has not been published in the environment")
        token_project = self._prove(signed, operation, call.at)
        if operation.service == "ims":
            project = _project(signed, operation, token_project, options)
            call = replace(call, project=project, region=region_of(project))
            self._count(call)
        if operation.name in options.denied:
            raise VendorError(options.denied[operation.name], f"Policy doesn't allow {operation.name} to be performed.")
        return operation, replace(call, params=_parameters(signed, operation))

    def busiest(self) -> dict[tuple[str, str], int]:
        """(operation, region) -> the most requests within any 0.9 s."""
        return self._windows.busiest()

    def _prove(self, signed: Signed, operation: Operation, now: int) -> str | None:
        """Check who asks; the project that a user's token is for, None where it is no token."""
        token = signed.headers.get("x-auth-token", "")
        try:
            key = claimed_key(signed, self._world.keys)
        except SignatureRefused as refused:
            raise VendorError(refused.code, refused.message) from None
        if key is not None:
            self._check_lock(key.secret_id, now)
            try:
                check_sdk_hmac(signed, key, now, self._world.options.headers_to_sign)
            except BadSignature as bad:
                raise self._count_bad(bad, now) from None
            except SignatureRefused as refused:
                raise VendorError(refused.code, refused.message) from None
            self._bad.pop(key.secret_id, None)
        elif token:
            return self._token_project(token, now)
        elif operation.signed:
            raise VendorError(REFUSED, f"{PREFIX}x-auth-token not found")
        return None

    def _token_project(self, value: str, now: int) -> str:
        token = self._world.tokens.get(value)
        if token is None:
            raise VendorError(REFUSED, f"{PREFIX}decrypt token fail")
        if now >= token.expires_at:
            told = self._world.options.run_out_code
            raise VendorError(told, "The token must be updated" if told != REFUSED else f"{PREFIX}token expires")
        return token.project

    def _check_lock(self, key_id: str, now: int) -> None:
        if now < self._locked_until.get(key_id, 0):
            raise VendorError(REFUSED, f"{PREFIX}AK access failed to reach the limit, forbidden")

    def _count_bad(self, bad: BadSignature, now: int) -> VendorError:
        options, key_id = self._world.options, bad.key.secret_id
        if options.skew_counts_to_lock or not bad.skewed:
            self._bad[key_id] += 1
        if options.bad_signatures_most is not None and self._bad[key_id] > options.bad_signatures_most:
            del self._bad[key_id]
            self._locked_until[key_id] = now + int(options.lock_seconds * SECOND)
            self.locks += 1
        message = bad.message if options.echoes_canonical else bad.message.partition(", canonicalRequest:")[0]
        if bad.skewed:
            message = message.replace("signature expired", options.skew_words)
        return VendorError(bad.code, message)

    def _count(self, call: Call) -> None:
        """Refuse a request of the image service that is one too many; refused ones count, too."""
        options, at = self._world.options, self._clock.monotonic()
        scope = call.region if options.count_rate_by == "region" else "*"
        limits = {_WHOLE: options.requests_a_second, call.action: options.rates.get(call.action)}
        held = {name: self._windows.arrive((name, scope, "*"), at) for name in limits}
        for name, limit in limits.items():
            if limit is not None and held[name] > limit:
                raise VendorError(THROTTLED, f"The throttling threshold has been reached: {limit} requests a second")


def _check_size(signed: Signed) -> None:
    if len(signed.path) + 1 + len(signed.query) > LONGEST_URI:
        raise Unfit(414, "The request URI is longer than 32 KB")
    if len(signed.body) > LARGEST_BODY:
        raise Unfit(413, "The request body is larger than 12 MB")


def _project(signed: Signed, operation: Operation, token_project: str | None, options: HuaweiOptions) -> str:
    """The name of the project that a request is about: by its header, its path, its token, or its host."""
    labels = signed.headers.get("host", "").partition(":")[0].split(".")
    home = next((label for label in labels if label in options.regions), "")
    found = operation.path.fullmatch(unquote(signed.path))
    in_path = found.groupdict().get("project", "") if found else ""
    named = [each for each in (signed.headers.get("x-project-id", ""), in_path) if each]
    projects = {options.project_name(each) for each in named}
    if token_project:
        projects.add(token_project)
    if not projects and home and not options.project_header_needed:
        projects = {home}
    project = projects.pop() if len(projects) == 1 else ""
    if not project or (home and region_of(project) != home):
        raise VendorError(options.project_mismatch_code, "The project ID and the credentials do not match.")
    return project


def _parameters(signed: Signed, operation: Operation) -> Mapping[str, Any]:
    """The parameters of a query or a body; what is null is left out."""
    if signed.method == "GET":
        return dict(query_pairs(signed.query))
    if not signed.headers.get("content-type", "").startswith("application/json"):
        raise VendorError(OUTWARDLY_MALFORMED, "The body must be application/json")
    own = operation.service == "ims"
    if not signed.body:
        raise VendorError("IMG.0007" if own else OUTWARDLY_MALFORMED, "The request body is empty.")
    try:
        given = read_object(signed.body)
    except VendorError as error:
        raise VendorError(MALFORMED if own else OUTWARDLY_MALFORMED, error.message) from None
    return {name: value for name, value in given.items() if value is not None}
