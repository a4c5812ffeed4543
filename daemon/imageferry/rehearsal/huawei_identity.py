"""The identity services beside Huawei Cloud's images: projects, who am I, user tokens and temporary keys (IAM, STS).

The rehearsal's table of operations points here. What they give out is kept in memory and opens rehearsals alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from imageferry.core.times import SECOND, rfc3339
from imageferry.rehearsal.huawei_calls import OUTWARDLY_MALFORMED, Answered, Call, UserToken, World
from imageferry.rehearsal.huawei_options import region_of
from imageferry.rehearsal.options import AcceptedKey
from imageferry.rehearsal.parameters import INTEGER, STRING, STRINGS, Shape, VendorError, Wanted

_OBJECT: Final = Shape("an object", lambda value: isinstance(value, dict))

PROJECTS_WANTED: Final = {
    name: Wanted(STRING) for name in ("name", "domain_id", "parent_id", "enabled", "is_domain", "page", "per_page")
}
AUTH_WANTED: Final = {"auth": Wanted(_OBJECT, required=True)}
OIDC_WANTED: Final = {
    "provider_urn": Wanted(STRING, required=True),
    "agency_urn": Wanted(STRING, required=True),
    "agency_session_name": Wanted(STRING, required=True),
    "id_token": Wanted(STRING, required=True),
    "duration_seconds": Wanted(INTEGER),
    "policy": Wanted(STRING),
    "policy_ids": Wanted(STRINGS),
}

TOKEN_SECONDS: Final = 86_400
SHORTEST_SESSION: Final = 900
LONGEST_SESSION: Final = 86_400
LONGEST_OIDC_SESSION: Final = 43_200
USUAL_OIDC_SESSION: Final = 3_600

WRONG_LOGIN: Final = "IAM.0061"
NOT_ALLOWED: Final = "IAM.0002"


def list_projects(world: World, call: Call, _now: int) -> Mapping[str, Any]:
    """The account's projects, or those of one name."""
    options, name = world.options, call.text("name")
    named = [
        each
        for each in options.project_names()
        if name in ("", each) or (options.projects_by_prefix and region_of(each) == name)
    ]
    projects = [_project_json(world, each) for each in named] if options.projects_listed else []
    return {"links": {"self": "/v3/projects", "previous": None, "next": None}, "projects": projects}


def list_auth_domains(world: World, _call: Call, _now: int) -> Mapping[str, Any]:
    """The account, as far as the caller may see it."""
    own = {"id": world.options.account_id, "name": world.options.account_name, "enabled": True, "description": ""}
    return {"domains": [own] if world.options.domains_listed else [], "links": {"self": "/v3/auth/domains"}}


def get_caller_identity(world: World, _call: Call, _now: int) -> Mapping[str, Any]:
    """Whose key it is."""
    account = world.options.account_id
    return {"account_id": account, "principal_id": account, "principal_urn": f"iam::{account}:user:rehearsal"}


def create_user_token(world: World, call: Call, now: int) -> Answered:
    """A token for a user's password, for the project that is named.

    :raises VendorError: the password does not fit, or there is no such project.
    """
    auth = call.params["auth"]
    user = _within(auth, "identity", "password", "user")
    given = (user.get("name"), user.get("password"), _within(user, "domain").get("name"))
    options = world.options
    if given not in {(each.name, each.password, options.account_name) for each in options.users}:
        raise VendorError(WRONG_LOGIN, "The username or password is wrong.")
    project = _text(_within(auth, "scope", "project"), "name")
    if project and project not in options.project_names():
        raise VendorError(WRONG_LOGIN, "The project does not exist.")
    token = _new_token(world, project, now)
    shown = {"methods": ["password"], "expires_at": rfc3339(token.expires_at), "user": {"name": given[0]}}
    told = {**shown, **({"project": _project_json(world, project)} if project else {})}
    return Answered({"token": told}, 201, {"x-subject-token": token.value})


def create_federated_token(world: World, call: Call, now: int) -> Answered:
    """A token for no project, for what an identity provider has signed.

    :raises VendorError: the provider or its word is not known.
    """
    identity = _text(_within(call.params["auth"], "id_token"), "id")
    options = world.options
    if call.headers.get("x-idp-id") not in options.identity_providers or identity not in options.identity_tokens:
        raise VendorError(WRONG_LOGIN, "The ID token is not valid.")
    token = _new_token(world, "", now)
    told = {"methods": ["mapped"], "expires_at": rfc3339(token.expires_at)}
    return Answered({"token": told}, 201, {"x-subject-token": token.value})


def create_temporary_key(world: World, call: Call, now: int) -> Answered:
    """A temporary key: for a token, or for an agency that trusts the caller.

    :raises VendorError: the token is not known, the agency does not trust the caller, or a value does not fit.
    """
    identity = _within(call.params["auth"], "identity")
    if identity.get("methods") == ["token"]:
        asked = _within(identity, "token")
        token = world.tokens.get(_text(asked, "id") or call.headers.get("x-auth-token", ""))
        if token is None or now >= token.expires_at:
            raise VendorError(WRONG_LOGIN, "The token is not valid.")
    elif identity.get("methods") == ["assume_role"]:
        asked = _within(identity, "assume_role")
        _check_agency(world, call, asked)
    else:
        raise VendorError(OUTWARDLY_MALFORMED, "methods must be one of token and assume_role.")
    key = _new_key(world, _seconds(asked, SHORTEST_SESSION, LONGEST_SESSION), now)
    told = {"access": key.secret_id, "secret": key.secret_key, "securitytoken": key.token}
    return Answered({"credential": {**told, "expires_at": rfc3339(key.expires_at or 0)}}, 201)


def assume_agency_with_oidc(world: World, call: Call, now: int) -> Mapping[str, Any]:
    """A temporary key of an agency, for what an identity provider has signed.

    :raises VendorError: the provider, its word or the agency is not known.
    """
    options = world.options
    known = call.text("provider_urn") in options.identity_providers and call.text("id_token") in options.identity_tokens
    if not known or call.text("agency_urn") not in options.assumable_urns:
        raise VendorError(NOT_ALLOWED, "The agency does not trust this identity.")
    key = _new_key(world, _seconds(call.params, USUAL_OIDC_SESSION, LONGEST_OIDC_SESSION), now)
    told = {"access_key_id": key.secret_id, "secret_access_key": key.secret_key, "security_token": key.token}
    return {"credentials": {**told, "expiration": rfc3339(key.expires_at or 0)}, "source_identity": None}


def _project_json(world: World, name: str) -> dict[str, Any]:
    account = world.options.account_id
    return {
        "id": world.options.project_id(name),
        "name": name,
        "domain_id": account,
        "parent_id": account,
        "enabled": True,
        "is_domain": False,
        "description": "",
    }


def _check_agency(world: World, call: Call, asked: Mapping[str, Any]) -> None:
    options = world.options
    if not {"authorization", "x-auth-token"} & call.headers.keys():
        raise VendorError(WRONG_LOGIN, "The request proves no caller.")
    own = (asked.get("domain_name"), asked.get("domain_id"))
    if options.account_name not in own and options.account_id not in own:
        raise VendorError(NOT_ALLOWED, "The account has no such agency.")
    if asked.get("agency_name") not in options.assumable_agencies:
        raise VendorError(NOT_ALLOWED, "The agency does not exist, or does not trust the caller.")


def _seconds(asked: Mapping[str, Any], usual: int, longest: int) -> int:
    seconds = asked.get("duration_seconds", usual)
    if not isinstance(seconds, int) or not SHORTEST_SESSION <= seconds <= longest:
        raise VendorError(OUTWARDLY_MALFORMED, f"duration_seconds must be {SHORTEST_SESSION} to {longest}.")
    return seconds


def _new_token(world: World, project: str, now: int) -> UserToken:
    token = UserToken(f"MIIrehearsal{world.new_hex()}", project, now + TOKEN_SECONDS * SECOND)
    world.tokens[token.value] = token
    return token


def _new_key(world: World, seconds: int, now: int) -> AcceptedKey:
    key = AcceptedKey(f"HST{world.new_hex()[:17].upper()}", world.new_hex(), world.new_hex(), now + seconds * SECOND)
    world.sessions.append(key)
    return key


def _within(data: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """An object inside an object; empty where there is none."""
    for name in names:
        inner = data.get(name)
        if not isinstance(inner, dict):
            return {}
        data = inner
    return data


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
