import pytest

from tests.unit.runtime.parts import Bought, Buy, Log, Stocked, command_bus, filled, stream
from twofold.errors import CommandIdReusedError
from twofold.ports import NewRecord
from twofold.runtime.first_answers import FirstAnswers
from twofold.runtime.lanes import Accepted

ACCEPTED = Accepted(stream("mug"), version=2, position=2, events=(Bought(sku="mug", buyer="ann"),))


def test_a_known_id_is_answered_as_at_first_and_marked() -> None:
    answers = FirstAnswers(size=2)
    answers.remember(NewRecord("k1", b"1"), ACCEPTED)
    assert answers.first(NewRecord("k1", b"1")) == ACCEPTED.as_replayed()
    assert answers.first(NewRecord("k2", b"1")) is None


def test_an_id_of_another_command_is_refused() -> None:
    answers = FirstAnswers(size=2)
    answers.remember(NewRecord("k1", b"1"), ACCEPTED)
    with pytest.raises(CommandIdReusedError) as refusal:
        answers.first(NewRecord("k1", b"2"))
    assert (refusal.value.command_id, refusal.value.stream) == ("k1", "product-mug")


def test_only_the_newest_are_kept() -> None:
    answers = FirstAnswers(size=2)
    for command_id in ("k1", "k2", "k3"):
        answers.remember(NewRecord(command_id, b"1"), ACCEPTED)
    known = [command_id for command_id in ("k1", "k2", "k3") if answers.first(NewRecord(command_id, b"1"))]
    assert known == ["k2", "k3"]


async def test_a_client_that_repeats_itself_makes_no_work_for_the_log() -> None:
    log = Log()
    bus = command_bus(log)
    await filled(log, Stocked(sku="mug", units=1_000), *(Bought(sku="mug", buyer=str(number)) for number in range(500)))
    first = await bus.send(Buy(sku="mug"), command_id="k1")
    log.batches.clear()
    log.stream_reads.clear()
    for _ in range(20):
        assert await bus.send(Buy(sku="mug"), command_id="k1") == first.as_replayed()
    assert (log.batches, log.stream_reads) == ([], [])
