"""Rows and records: nothing is lost on the way there and back."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from imageferry.core.answers import ANSWER_CLASSES
from imageferry.core.image import Place
from imageferry.core.job import Job
from imageferry.core.machine import STATES
from imageferry.ledgers.rows import JOB_COLUMNS, dump, job_row, load, read_image, read_job
from support.ledgers import image

TEXT = st.text(max_size=10)
TIME = st.integers(0, 2**53)
DOCUMENT = st.dictionaries(
    TEXT, st.one_of(TEXT, TIME, st.none(), st.booleans(), st.lists(TEXT, max_size=2)), max_size=3
)
JOBS = st.builds(
    Job,
    id=TEXT,
    key=TEXT,
    place=st.builds(Place, TEXT, TEXT, TEXT),
    image_id=TEXT,
    image_name=TEXT,
    action=st.sampled_from(["export", "copy"]),
    destination=TEXT,
    options=DOCUMENT,
    policies=st.lists(TEXT, max_size=3).map(tuple),
    state=st.sampled_from(STATES),
    reason=TEXT,
    priority=st.integers(0, 1),
    version=TIME,
    created_at=TIME,
    due_at=TIME,
    give_up_at=TIME,
    klass=st.sampled_from(["", *ANSWER_CLASSES]),
    vendor_code=TEXT,
    request_id=TEXT,
    attempt=TIME,
    attempts=TIME,
    sends=TIME,
    task_ref=TEXT,
    object_keys=st.lists(TEXT, max_size=3).map(tuple),
    request=DOCUMENT,
    made_name=TEXT,
    memo=DOCUMENT,
    sighted_at=TIME,
    sent_at=st.none() | TIME,
    submitted_at=st.none() | TIME,
    ended_at=st.none() | TIME,
)


@given(JOBS)
def test_a_job_comes_back_as_it_was(job: Job) -> None:
    assert read_job(job_row(job)) == job


def test_a_job_has_a_column_for_every_field() -> None:
    columns = [name.strip() for name in JOB_COLUMNS.split(",")]
    expected = [field.name.replace("klass", "class") for field in fields(Job)]
    expected[2:3] = ["cloud", "account", "region"]
    assert columns == expected


@given(DOCUMENT)
def test_a_document_comes_back_as_it_was(document: dict[str, object]) -> None:
    assert load(dump(document)) == document


def test_documents_are_written_compactly_and_readably() -> None:
    assert dump({"a": ["ü", 1]}) == '{"a":["ü",1]}'


def test_an_image_that_was_never_looked_at_is_none() -> None:
    assert read_image(None) is None
    assert read_image(dump(image(os="linux").to_json())) == image(os="linux")
