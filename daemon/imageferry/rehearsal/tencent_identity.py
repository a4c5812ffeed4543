"""Tencent Cloud's STS beside its images: who am I, and temporary keys for a role.

The rehearsal's table of actions points here. AssumeRoleWithWebIdentity is the one action that no key signs.
"""

from __future__ import annotations

import re
from typing import Any, Final

from imageferry.core.times import SECOND, rfc3339
from imageferry.rehearsal.options import AcceptedKey
from imageferry.rehearsal.parameters import INTEGER, STRING, VendorError, Wanted
from imageferry.rehearsal.tencent_calls import Call, World

ROLE_WANTED: Final = {
    "RoleArn": Wanted(STRING, required=True),
    "RoleSessionName": Wanted(STRING, required=True),
    "DurationSeconds": Wanted(INTEGER),
    "Policy": Wanted(STRING),
    "ExternalId": Wanted(STRING),
}
WEB_WANTED: Final = {
    "ProviderId": Wanted(STRING, required=True),
    "WebIdentityToken": Wanted(STRING, required=True),
    "RoleArn": Wanted(STRING, required=True),
    "RoleSessionName": Wanted(STRING, required=True),
    "DurationSeconds": Wanted(INTEGER),
}

LONGEST_SESSION: Final = 43_200
USUAL_SESSION: Final = 7_200

_SESSION_NAME: Final = re.compile(r"[\w+=,.@-]{2,128}", re.ASCII)


def get_caller_identity(world: World, call: Call, _now: int) -> dict[str, Any]:
    """Whose key it is."""
    account = world.options.account_id
    if call.key_id in {key.secret_id for key in world.sessions}:
        role = "4611686018427397919"
        named = f"{role}:session"
        arn = f"qcs::sts:{account}:assumed-role/{role}"
        return {"Type": "CAMRole", "AccountId": account, "UserId": named, "PrincipalId": role, "Arn": arn}
    arn = f"qcs::cam::uin/{account}:uin/{account}"
    return {"Type": "CAMUser", "AccountId": account, "UserId": account, "PrincipalId": account, "Arn": arn}


def assume_role(world: World, call: Call, now: int) -> dict[str, Any]:
    """A temporary key for a role.

    :raises VendorError: a rule says no.
    """
    seconds = _check_session(world, call)
    wanted = world.options.external_ids.get(_text(call, "RoleArn"))
    if wanted is not None and _text(call, "ExternalId") != wanted:
        raise VendorError("UnauthorizedOperation", "The role does not trust this user with this ExternalId.")
    return _given_out(world, seconds, now)


def assume_role_with_web_identity(world: World, call: Call, now: int) -> dict[str, Any]:
    """A temporary key for a role, against what an identity provider has signed.

    :raises VendorError: a rule says no.
    """
    seconds = _check_session(world, call)
    if _text(call, "ProviderId") not in world.options.identity_providers:
        raise VendorError("InvalidParameter.ParamError", "The identity provider does not exist.")
    token = _text(call, "WebIdentityToken")
    if token not in world.options.identity_tokens:
        raise VendorError("InvalidParameter.WebIdentityTokenError", f"The token {token} is not valid.")
    return _given_out(world, seconds, now)


def _check_session(world: World, call: Call) -> int:
    """The seconds that a key is to last."""
    seconds = call.params.get("DurationSeconds", USUAL_SESSION)
    if not 0 < seconds <= LONGEST_SESSION:
        raise VendorError("InvalidParameter.OverTimeError", f"DurationSeconds must be 1 to {LONGEST_SESSION}.")
    if _SESSION_NAME.fullmatch(_text(call, "RoleSessionName")) is None:
        raise VendorError("InvalidParameter.ParamError", "RoleSessionName is wrongly formed.")
    if _text(call, "RoleArn") not in world.options.assumable_roles:
        raise VendorError("ResourceNotFound.RoleNotFound", "The role does not exist, or does not trust this user.")
    return int(seconds)


def _given_out(world: World, seconds: int, now: int) -> dict[str, Any]:
    key_id, secret, token = (f"{world.chance.getrandbits(128):032x}" for _ in range(3))
    ends = now // SECOND + seconds
    world.sessions.append(AcceptedKey(f"AKIDsession{key_id}", secret, token, expires_at=ends * SECOND))
    return {
        "Credentials": {"TmpSecretId": f"AKIDsession{key_id}", "TmpSecretKey": secret, "Token": token},
        "ExpiredTime": ends,
        "Expiration": rfc3339(ends * SECOND),
    }


def _text(call: Call, name: str) -> str:
    value = call.params.get(name)
    return value if isinstance(value, str) else ""
