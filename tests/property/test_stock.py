"""A region's stock over any course of listings: nothing old is told of, everything new is, and each once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imageferry.core.image import Image, ImageState
from imageferry.core.times import SECOND
from imageferry.sources.stock import ENDED, FORGOTTEN, LATE, Stock
from support.clocks import START
from support.ledgers import PLACE

EVERY = 300 * SECOND
IDS = [f"img-{n}" for n in range(8)]

states = st.sampled_from(["ready", "ready", "pending", "failed"])
created = st.none() | st.integers(-2 * LATE, 20 * EVERY).map(lambda offset: START + offset)
listing = st.fixed_dictionaries({}, optional=dict.fromkeys(IDS, states))
courses = st.lists(st.tuples(listing, st.booleans()), max_size=12)


def shown(listed: dict[str, ImageState], made: dict[str, int | None]) -> list[Image]:
    return [Image(place=PLACE, id=each, state=state, created_at=made[each]) for each, state in listed.items()]


@given(st.fixed_dictionaries(dict.fromkeys(IDS, created)), courses)
def test_every_course_of_listings_tells_of_each_new_image_once_and_of_no_old_one(
    made: dict[str, int | None], course: list[tuple[dict[str, ImageState], bool]]
) -> None:
    assert len(course) * EVERY < FORGOTTEN
    stock, told, at_first, now = Stock(START), list[str](), set[str](), START
    first: dict[str, ImageState] | None = None
    for listed, complete in course:
        images = shown(listed, made)
        news = [image.id for image in stock.news(images)]
        if first is None:
            at_first |= {*news}  # what is told of before a first round was whole may be repeated: the ledger drops it
        else:
            told += news
        alive = {image.id for image in images if image.state not in ENDED}
        if first is not None:
            recent = {each for each in alive if made[each] is None or (made[each] or 0) >= START - LATE}
            assert recent <= {*told, *first, *at_first}, "an image that was not there before was not told of"
        stock.close_round(alive, now, complete=complete)
        if first is None and complete:
            first = {each: state for each, state in listed.items() if each in alive}
        stock = Stock.read(stock.written())
        now += EVERY
    assert len(told) == len({*told}), "an image was told of twice"
    old = {each for each, state in (first or {}).items() if state == "ready" and (made[each] or 0) < START}
    early = {each for listed, _ in course for each, state in listed.items() if state == "pending"}
    assert not (old - early) & {*told, *at_first}, "an image that was ready before the first round was told of"
