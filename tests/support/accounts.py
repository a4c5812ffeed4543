"""Configured accounts for tests of the clouds' adapters."""

from __future__ import annotations

from typing import Any

from imageferry.clouds.tencent.facts import FACTS
from imageferry.core.account import Account, CredentialSpec, Timeouts
from imageferry.rehearsal.options import REHEARSAL_KEY


def tencent_account(base_url: str = "http://127.0.0.1:9", **changes: Any) -> Account:
    """An account whose image API, identity and storage are all at ``base_url``."""
    given: dict[str, Any] = {
        "name": "prod",
        "cloud": "tencent",
        "regions": ("ap-guangzhou", "ap-shanghai"),
        "credentials": CredentialSpec(
            source="static", values={"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key}
        ),
        "endpoint": base_url,
        "identity_endpoint": base_url,
        "storage_endpoint": base_url + "/{bucket}",
        "limits": FACTS.limits,
        "timeouts": Timeouts(request=5.0),
    }
    return Account(**{**given, **changes})
