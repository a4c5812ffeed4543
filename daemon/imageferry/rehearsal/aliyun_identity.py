"""Alibaba Cloud's STS beside its images: who am I, and temporary keys for a role.

The rehearsal's table of actions points here. AssumeRoleWithOIDC is the one action that no key signs.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from imageferry.core.times import SECOND
from imageferry.rehearsal.aliyun_calls import NUMBER, TEXT, Call, World, missing
from imageferry.rehearsal.options import AcceptedKey
from imageferry.rehearsal.parameters import VendorError, Wanted

CALLER_WANTED: Final[dict[str, Wanted]] = {}
_ROLE_WANTED: Final = {
    "RoleArn": Wanted(TEXT, required=True),
    "RoleSessionName": Wanted(TEXT, required=True),
    "DurationSeconds": Wanted(NUMBER),
    "Policy": Wanted(TEXT),
}
ROLE_WANTED: Final = {**_ROLE_WANTED, "ExternalId": Wanted(TEXT)}
OIDC_WANTED: Final = {**_ROLE_WANTED, "OIDCProviderArn": Wanted(TEXT), "OIDCToken": Wanted(TEXT)}

SHORTEST_SESSION: Final = 900
USUAL_SESSION: Final = 3_600

_SESSION_NAME: Final = re.compile(r"[A-Za-z0-9.@_-]{2,64}")


def get_caller_identity(world: World, call: Call, _now: int) -> dict[str, Any]:
    """Whose key it is.

    :raises VendorError: the options say that this needs a permission.
    """
    if not world.options.identity_granted:
        raise VendorError("NoPermission", "You are not authorized to do this action.")
    account, assumed = world.options.account_id, call.key in world.sessions
    told = {"AccountId": account, "IdentityType": "AssumedRoleUser" if assumed else "RAMUser"}
    if assumed:
        arn = f"acs:ram::{account}:assumed-role/imageferry/session"
        return {**told, "Arn": arn, "PrincipalId": "300000000000001:session", "RoleId": "300000000000001"}
    arn = f"acs:ram::{account}:user/imageferry"
    return {**told, "Arn": arn, "PrincipalId": "200000000000001", "UserId": "200000000000001"}


def assume_role(world: World, call: Call, now: int) -> dict[str, Any]:
    """A temporary key for a role.

    :raises VendorError: a rule says no.
    """
    seconds = _check_session(world, call)
    wanted = world.options.external_ids.get(call.text("RoleArn"))
    if wanted is not None and call.text("ExternalId") != wanted:
        raise VendorError("NoPermission", "The role does not trust this user with this ExternalId.")
    return _given_out(world, call, seconds, now)


def assume_role_with_oidc(world: World, call: Call, now: int) -> dict[str, Any]:
    """A temporary key for a role, against what an identity provider has signed.

    :raises VendorError: a rule says no.
    """
    for name in ("OIDCProviderArn", "OIDCToken"):
        if not call.text(name):
            raise missing(name)
    seconds = _check_session(world, call)
    if call.text("OIDCProviderArn") not in world.options.identity_providers:
        raise VendorError("EntityNotExist.OIDCProvider", "The OIDC provider does not exist.")
    if call.text("OIDCToken") not in world.options.identity_tokens:
        raise VendorError("AuthenticationFail.OIDCToken.Invalid", "The OIDC token is invalid.")
    return _given_out(world, call, seconds, now)


def _check_session(world: World, call: Call) -> int:
    """The seconds that a key is to last."""
    seconds = int(call.text("DurationSeconds") or USUAL_SESSION)
    if not SHORTEST_SESSION <= seconds <= world.options.longest_session_seconds:
        words = f"DurationSeconds must be {SHORTEST_SESSION} to {world.options.longest_session_seconds}."
        raise VendorError("InvalidParameter.DurationSeconds", words)
    if _SESSION_NAME.fullmatch(call.text("RoleSessionName")) is None:
        raise VendorError("InvalidParameter.RoleSessionName", "The parameter RoleSessionName is wrongly formed.")
    if call.text("RoleArn") not in world.options.assumable_roles:
        raise VendorError("EntityNotExist.Role", "The role does not exist, or does not trust this user.")
    return seconds


def _given_out(world: World, call: Call, seconds: int, now: int) -> dict[str, Any]:
    key_id, secret, token = (f"{world.chance.getrandbits(128):032x}" for _ in range(3))
    key = AcceptedKey(f"STS.{key_id}", secret, token, expires_at=now + seconds * SECOND)
    world.sessions.append(key)
    role, name = call.text("RoleArn"), call.text("RoleSessionName")
    user = {"AssumedRoleId": f"300000000000001:{name}", "Arn": f"{role.replace(':role/', ':assumed-role/')}/{name}"}
    return {
        "AssumedRoleUser": user,
        "Credentials": {
            "AccessKeyId": key.secret_id,
            "AccessKeySecret": key.secret_key,
            "SecurityToken": key.token,
            "Expiration": _seconds_text(now + seconds * SECOND),
        },
    }


def _seconds_text(at: int) -> str:
    """A time with its seconds, whatever the options say of the image service's times."""
    return f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}"
