"""What of the policies can never come to anything with the accounts of the config: most likely a typing error.

``check`` warns of it. It is no error: one set of policies may serve several daemons, each with accounts of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from imageferry.core.account import Account
from imageferry.core.image import Place
from imageferry.core.policy import PolicySet
from imageferry.core.spec import PolicySpec
from imageferry.core.values import ANY_REGION
from imageferry.wording import suggestion

_EVERYWHERE: Final = "no account of the config lists the region"


def unused(accounts: Sequence[Account], policies: PolicySet) -> Iterator[str]:
    """A line for each policy that no place can match, and for each region of an action that no account lists."""
    places = [Place(account.cloud, account.name, region) for account in accounts for region in account.regions]
    for policy, reasons in policies.matched_nowhere(places).items():
        told = [reason for reason in reasons if not reason.startswith("cloud ")] or reasons  # those of its own cloud
        yield f'policy "{policy}" can match no image of these accounts: {told[0]}'
    listed = list(dict.fromkeys(place.region for place in places))
    for spec in policies.specs:
        for what, region in _regions(spec):
            if region not in listed:
                yield f'policy "{spec.name}" {what} {region}: {_EVERYWHERE}{suggestion(region, listed)}'


def _regions(spec: PolicySpec) -> Iterator[tuple[str, str]]:
    """The regions that the actions name, each with what is done there."""
    for action in spec.actions:
        if action.copy_ is not None:
            yield from (("copies to", region) for region in action.copy_.regions)
        if action.export is not None:
            yield from (("has a bucket for", region) for region in action.export.bucket if region != ANY_REGION)
