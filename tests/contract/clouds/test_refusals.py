"""What every cloud does about "no": for good, for the keys, and for the time being."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from imageferry.core.account import CredentialSpec
from imageferry.core.answers import Answer
from imageferry.core.job import ActionKind
from imageferry.errors import CircuitOpen, Refused
from imageferry.rehearsal.options import REHEARSAL_KEY
from support.clocks import START
from support.cloud_table import Entry
from support.trials import KINDS, Begin, words

HOUR = 3_600_000_000
WRONG = "wrong-secret-key-that-nobody-may-ever-see"
FRESH = {"secret_id": "AKIDrehearsal0000000000000000000002", "secret_key": "fresh-rehearsal-key"}
OLD = {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("klass", ["permanent_image", "permanent_config"])
async def test_what_is_refused_for_good_is_asked_once_and_told(begin: Begin, kind: ActionKind, klass: str) -> None:
    async with begin() as trial:
        code = getattr(trial.entry, klass)[kind]
        await trial.job_of(kind)
        trial.refuse(code, kind)
        [job] = await trial.walked()
        refused = next(each for each in trial.cloud.requests.last if each.outcome == code.code)
        told = (job.state, job.klass, job.vendor_code, job.request_id, job.sends)
        assert told == ("failed", klass, code.code, refused.request_id, 1)
        assert code.message in job.reason
        assert trial.accepted == {}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_error_with_a_code_is_looked_into_and_tried_again(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        image_id = await trial.job_of(kind)
        trial.misbehave("status", kind, status=500, count=2)
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == trial.once((kind, image_id, trial.target(kind)))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cloud_that_only_answers_errors_is_given_up_after_the_attempts(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        await trial.job_of(kind)
        trial.misbehave("status", kind, status=500)
        [job] = await trial.walked()
        assert (job.state, job.attempts) == ("failed", trial.stage.site.account.backoff.attempts)
        assert trial.accepted == {}


# --- keys ----------------------------------------------------------------------------------------------------------


def keys(entry: Entry, secret_id: str, secret_key: str, token: str = "") -> CredentialSpec:
    return CredentialSpec(source="static", values=words(entry, secret_id, secret_key, token))


async def test_a_wrong_secret_closes_the_account_after_a_handful_of_requests(begin: Begin, entry: Entry) -> None:
    async with begin(account={"credentials": keys(entry, REHEARSAL_KEY.secret_id, WRONG)}) as trial:
        ids = [trial.image(name=f"web-{number}") for number in range(20)]
        for _ in range(5):
            await trial.decided(trial.wanted("export"), *ids)
            trial.stage.clock.jump(30)
        assert await trial.stage.jobs() == []
        assert 1 <= trial.cloud.requests.asked() <= 3
        circuit = trial.stage.site.lanes.circuit
        with pytest.raises(CircuitOpen) as closed:
            circuit.check()
        assert WRONG not in str(closed.value)
        assert str(closed.value).startswith("account prod is closed off")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refused_key_is_told_as_such_and_never_with_its_secret(begin: Begin, kind: ActionKind) -> None:
    async with begin() as trial:
        job = await trial.frozen(kind)
        trial.cloud.change({"keys": [FRESH]})
        answer = await trial.sent(job)
        assert isinstance(answer, Answer)
        assert (answer.klass, trial.accepted) == ("auth", {})
        assert REHEARSAL_KEY.secret_key not in str(answer)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_temporary_key_works_like_any_other(begin: Begin, entry: Entry, kind: ActionKind) -> None:
    temporary = {**OLD, "token": "temporary", "expires_at": START + HOUR}
    account = {"credentials": keys(entry, **OLD, token="temporary")}
    async with begin(account=account, keys=[temporary], **entry.temporary_keys) as trial:
        image_id, job = await trial.walk(kind)
        assert job.state == "succeeded"
        assert trial.accepted == trial.once((kind, image_id, trial.target(kind)))


async def test_a_temporary_key_that_has_run_out_is_read_anew(
    begin: Begin, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def environ(key: Mapping[str, Any], token: str) -> None:
        for name, value in zip(entry.environ, (key["secret_id"], key["secret_key"], token), strict=True):
            monkeypatch.setenv(name, value)

    environ(OLD, "first")
    given = [{**OLD, "token": "first", "expires_at": START + HOUR}, {**FRESH, "token": "second"}]
    account = {"credentials": CredentialSpec(source="env")}
    async with begin(account=account, keys=given, **entry.temporary_keys) as trial:
        first = await trial.job_of("export")
        trial.stage.clock.jump(2 * HOUR / 1_000_000)
        environ(FRESH, "second")
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == trial.once(("export", first, trial.bucket))
        trial.stage.site.lanes.circuit.check()


async def test_a_temporary_key_that_has_run_out_for_good_closes_the_account(begin: Begin, entry: Entry) -> None:
    expired = {**OLD, "token": "gone", "expires_at": START}
    async with begin(account={"credentials": keys(entry, **OLD, token="gone")}, keys=[expired]) as trial:
        image_id = trial.image()
        with pytest.raises(Refused) as refused:
            await trial.stage.cloud.look(entry.region, [image_id])
        assert refused.value.answer.klass == "auth"
        with pytest.raises(CircuitOpen):
            await trial.stage.cloud.look(entry.region, [image_id])
