from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imageferry.telemetry.secrets import MARK, Vault

KEY = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"


@pytest.fixture
def vault() -> Vault:
    vault = Vault()
    vault.register(KEY)
    return vault


def test_a_registered_value_is_hidden_wherever_it_stands(vault: Vault) -> None:
    assert vault.scrub(f"a{KEY}b {KEY}") == f"a{MARK}b {MARK}"


def test_other_text_stays_as_it_is(vault: Vault) -> None:
    text = "image img-1 is busy: ResourceInUse.Image (request 7f3c), the token of the lane expired"
    assert vault.scrub(text) == text


@given(st.text(min_size=4, max_size=40).filter(lambda secret: secret not in MARK))
def test_a_registered_value_is_hidden_however_it_is_quoted(secret: str) -> None:
    vault = Vault()
    vault.register(secret)
    for written in (f"<{secret}>", json.dumps(secret), repr(secret), f"={quote(secret)}&", f"={quote_plus(secret)}&"):
        scrubbed = vault.scrub(written)
        assert (written[1:-1] in scrubbed, MARK in scrubbed) == (False, True)


def test_a_value_that_no_url_can_carry_is_hidden_too() -> None:
    vault = Vault()
    vault.register("from-a-file-\udcff")
    assert vault.scrub("x from-a-file-\udcff") == f"x {MARK}"


def test_a_value_that_contains_another_is_hidden_whole() -> None:
    vault = Vault()
    vault.register("abcd")
    vault.register("abcdefgh")
    assert vault.scrub("abcdefgh") == MARK


def test_a_value_too_short_to_be_a_secret_does_not_blank_out_everything() -> None:
    vault = Vault()
    vault.register("")
    vault.register("abc")
    assert vault.scrub("abc and more") == "abc and more"


def test_a_forgotten_value_is_shown_again_and_the_others_are_not(vault: Vault) -> None:
    vault.register("an-old-session")
    vault.forget("an-old-session")
    vault.forget("never-known")
    assert vault.scrub(f"an-old-session {KEY}") == f"an-old-session {MARK}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://ferry:hunter2@db/x", f"postgresql://ferry:{MARK}@db/x"),
        ("Authorization: TC3-HMAC-SHA256 Credential=AK/x, Signature=ab12", f"Authorization: {MARK}"),
        ("{'authorization': 'Bearer abc'}", f"{{'authorization': {MARK}"),
        ("curl -H 'Bearer abc.def-ghi'", f"curl -H 'Bearer {MARK}'"),
        ("GET /?Signature=ab%2F12&Nonce=3", f"GET /?Signature={MARK}&Nonce=3"),
        ("TC3 Credential=AKIDz8/2026/cvm, SignedHeaders=host", f"TC3 Credential={MARK}, SignedHeaders=host"),
        ('{"SecurityToken": "abc", "Code": 3}', f'{{"SecurityToken": {MARK}, "Code": 3}}'),
        ("secret_key='abc def'", f"secret_key='{MARK} def'"),
        ("sasl password=hunter2", f"sasl password={MARK}"),
    ],
)
def test_what_looks_like_a_secret_is_hidden_though_nobody_registered_it(text: str, expected: str) -> None:
    assert Vault().scrub(text) == expected


@given(st.text(max_size=80))
def test_scrubbing_twice_changes_nothing(text: str) -> None:
    once = Vault().scrub(text)
    assert Vault().scrub(once) == once


@pytest.mark.parametrize(
    "key",
    [
        *("secret_id", "SecretKey", "token", "X-TC-Token", "sasl_password", "passwd", "Authorization", "signature"),
        *("credentials", "access_key", "apikey", "api-key", "private_key", "signing_key", "Set-Cookie", "ak", "SK"),
    ],
)
def test_what_stands_under_a_secret_name_is_hidden_whatever_it_is(key: str) -> None:
    cleaned = Vault().clean({"outer": [{key: {"a": 1}}]})
    assert cleaned == {"outer": [{key: MARK}]}


@pytest.mark.parametrize("key", ["request_id", "image", "key", "job", "lane", "vendor_code", "bucket", "task", "risk"])
def test_the_fields_that_people_search_for_stay(key: str) -> None:
    assert Vault().clean({key: "value"}) == {key: "value"}


def test_numbers_truths_and_nothing_keep_their_types(vault: Vault) -> None:
    assert vault.clean([1, 2.5, True, None]) == [1, 2.5, True, None]


class Request:
    def __repr__(self) -> str:
        return f"<Request signed with {KEY}>"


@pytest.mark.parametrize(
    "value", [KEY, KEY.encode(), [KEY], (KEY,), {KEY}, {"a": {"b": [KEY]}}, {KEY: 1}, ValueError(KEY), Request()]
)
def test_a_registered_value_is_hidden_in_every_kind_of_value(vault: Vault, value: object) -> None:
    cleaned = str(vault.clean(value))
    assert (KEY in cleaned, MARK in cleaned) == (False, True)


def test_a_value_that_contains_itself_ends(vault: Vault) -> None:
    value: list[object] = [KEY]
    value.append(value)
    cleaned = str(vault.clean(value))
    assert (KEY in cleaned, MARK in cleaned) == (False, True)
