"""The page about credentials: per cloud where keys are looked for, in which order, and how roles are written.

``docs`` calls it; what it says of a cloud comes from that cloud's own table of sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from imageferry.clouds.aliyun import credentials as aliyun
from imageferry.clouds.credentials import MARGIN, PAUSE, Step
from imageferry.clouds.facts import FACTS
from imageferry.clouds.huawei import credentials as huawei
from imageferry.clouds.jdcloud import credentials as jdcloud
from imageferry.clouds.tencent import credentials as tencent
from imageferry.core.facts import CloudFacts
from imageferry.core.times import SECOND
from imageferry.core.units import duration_text
from imageferry.settings.credentials import SOURCES, keys_of_static
from imageferry.settings.roles import SESSION


class Places(NamedTuple):
    """Where a cloud's keys may be."""

    chain: Sequence[Step]
    beside: Sequence[Step]
    notes: Sequence[str]


PLACES: Final[Mapping[str, Places]] = {
    "tencent": Places(tencent.CHAIN, (), tencent.NOTES),
    "aliyun": Places(aliyun.CHAIN, (), aliyun.NOTES),
    "huawei": Places(huawei.CHAIN, (), huawei.NOTES),
    "jdcloud": Places(jdcloud.CHAIN, jdcloud.BESIDE, jdcloud.NOTES),
}
"""Cloud -> where its keys may be; in the order of the page."""

_INTRODUCTION: Final = f"""\
An account's `credentials` say where its keys come from. Every cloud is asked with the names, files and servers that its
own tools use, so what works for them works here:

```yaml
accounts:
  prod:
    cloud: tencent
    regions: [ap-guangzhou]
    credentials: {{source: chain}}
```

| `source` | keys come from |
|---|---|
| `chain` | the first of the places below that has any, in the vendor's own order; this is the default |
| `env` | environment variables |
| `file` | the vendor's own credentials file; `profile` and `path` choose another profile, another file |
| `instance` | the role of the machine, from its metadata server |
| `oidc` | an identity token, such as that of a pod's service account |
| `static` | the configuration itself, in the vendor's own words; each may be a `*_file` instead |

- A chain goes on to the next place where a place has nothing, or where a metadata server cannot be made out. It stops
  at a place that is there and wrong (half of a key pair, a file that cannot be read, a token that is refused): what
  comes next would be another identity. `imageferry` then says what is wrong and where.
- The place that had keys is the one that is asked again; the whole chain is only walked again when it has none any
  more.
- Keys that end are renewed {duration_text(MARGIN / SECOND)} before they do, short-lived ones when a third of their time is left. Files,
  variables and token files are read anew each time. While a renewal fails, keys that still hold are used; when they
  have ended nothing is sent. A place that cannot be asked just now is asked again after {PAUSE:.0f}s, however many
  requests want keys meanwhile.
- Keys that a cloud refuses as expired are read anew once, and the request is signed again. An object storage that
  refuses those too is believed for a minute.
- No key, token or external id is in a log, an error, a metric or the ledger.

## Roles

Beside any source a role may stand, which is taken with the keys of that source. The role's keys sign everything, the
object storage included. They last for `duration`, and are renewed like all others. Where the trust of a role asks for
an external id, it is `external_id`; `session_name` (`{SESSION}`) is how the vendor's audit trail calls us.
"""  # noqa: E501 - a line of the page, filled in

_REGIONS: Final = {
    "tencent": "ap-guangzhou",
    "aliyun": "cn-hangzhou",
    "huawei": "cn-north-4",
    "jdcloud": "cn-north-1",
}
_ROLES: Final[Mapping[str, str]] = {
    "tencent": "STS `AssumeRole`; grant `sts:AssumeRole` on the role",
    "aliyun": "STS `AssumeRole`; grant `sts:AssumeRole` on the role",
    "huawei": "IAM `securitytokens` with `assume_role`; the agency trusts the account of the keys, whose user needs the"
    " role Agent Operator",
    "jdcloud": "STS `assumeRole`; grant `sts:assumeRole` on the role",
}


def credentials() -> str:
    """The page below its title."""
    return "\n".join((_INTRODUCTION, *_role_table(), "", *_examples(), *_clouds()))


def _role_table() -> Iterator[str]:
    yield "| cloud | the role | beside it | `duration` | by |"
    yield "|---|---|---|---|---|"
    for name, facts in FACTS.items():
        role = facts.role
        beside = [role.owner, "external_id" if role.external_id else "", "session_name" if role.session_name else ""]
        words = ", ".join(f"`{word}`" for word in beside if word)
        length = f"{duration_text(role.shortest)} to {duration_text(role.longest)}, else {duration_text(role.usual)}"
        yield f"| {facts.title} | `{role.word}: {role.example}` | {words} | {length} | {_ROLES[name]} |"


def _examples() -> Iterator[str]:
    yield "```yaml"
    yield "accounts:"
    for name, facts in FACTS.items():
        role = facts.role
        owner = f", {role.owner}: acme" if role.owner else ""
        external = ', external_id: "${EXTERNAL_ID:-none}"' if role.external_id else ""
        named = f'{role.word}: "{role.example}"{owner}{external}'
        yield f"  {name}-prod:"
        yield f"    cloud: {name}"
        yield f"    regions: [{_REGIONS[name]}]"
        yield f"    credentials: {{source: instance, {named}, duration: {duration_text(role.usual)}}}"
    yield "```\n"


def _clouds() -> Iterator[str]:
    for name, places in PLACES.items():
        yield from _cloud(FACTS[name], places)


def _cloud(facts: CloudFacts, places: Places) -> Iterator[str]:
    yield f"## {facts.title}\n"
    yield "| in a chain | `source` | where it looks |"
    yield "|---|---|---|"
    for number, step in enumerate(places.chain, 1):
        word = f"`{step.word}`" if step.word in SOURCES else "in a chain only"
        yield f"| {number} | {word} | {step.where} |"
    for step in places.beside:
        yield f"| no | `{step.word}` | {step.where} |"
    words = ", ".join(f"`{word}`" for word in keys_of_static(facts))
    yield f"| no | `static` | {words} in the configuration |"
    yield ""
    yield from (f"- {note}" for note in places.notes)
    yield ""
