"""The contract of read stores is itself proved: a store that lies fails the test of the promise that it breaks."""

import pytest

from tests.contract import lying_read_stores as lying
from twofold.stores.memory.read_store import MemoryReadStore

pytest_plugins = ["pytester"]

# Each beside a test of fixed examples: hypothesis would take its time to make a failure small.
LIES = [
    (lying.RowsWithoutCheckpoint, "rows_and_checkpoint_are_saved_together"),
    (lying.CheckpointWithoutRows, "rows_and_checkpoint_are_saved_together"),
    (lying.ChecksTheFenceAfterWriting, "the_worker_of_an_earlier_epoch_writes_nothing"),
    (lying.IgnoresTheEpoch, "the_worker_of_an_earlier_epoch_writes_nothing"),
    (lying.IgnoresWhereThePageStarts, "a_page_that_does_not_start_at_the_checkpoint_writes_nothing"),
    (lying.UsesEpochsAgain, "opening_again_keeps_rows_and_position_under_a_greater_epoch"),
    (lying.UsesEpochsAgain, "the_worker_of_an_earlier_rebuild_never_writes_into_a_later_one"),
    (lying.ForgetsDeletions, "deleted_rows_are_gone_and_may_come_again"),
    (lying.KeepsRowsOfOtherColumns, "a_table_of_other_columns_is_made_anew"),
    (lying.ForgetsPauses, "a_read_model_stays_paused_until_told_otherwise"),
    (lying.LosesDecimalDigits, "extreme_values_survive_exactly"),
    (lying.LosesOffsets, "extreme_values_survive_exactly"),
    (lying.LosesMicroseconds, "extreme_values_survive_exactly"),
    (lying.TakesWhatItCanNotHold, "a_value_that_a_column_can_not_hold"),
    (lying.SavesHalfOfARefusedPage, "a_value_that_a_column_can_not_hold"),
    (lying.ShowsHalfASave, "readers_see_all_of_a_save_or_nothing_of_it"),
    (lying.PromotesInTwoSteps, "readers_never_miss_a_table_while_it_is_promoted"),
    (lying.IgnoresStartAfter, "a_page_may_start_behind_a_row_that_is_gone"),
    (lying.OrdersDecimalsAsText, "order_is_by_value_with_none_first"),
    (lying.ComparesDigits, "times_are_found_by_instant"),
    (lying.SearchesInsideWords, "search_finds_rows_whose_words_start_with_every_word"),
    (lying.SearchesRowsAsTheyWere, "search_knows_rows_as_they_are_now"),
    (lying.Hangs, "saved_rows_are_loaded"),
]


def outcomes(pytester: pytest.Pytester, store: type[MemoryReadStore], promise: str) -> dict[str, int]:
    """Run the tests of one promise against a store."""
    pytester.makepyfile(
        f"""
        import pytest
        from twofold.testing.read_store_contract import ReadStoreContract
        from {store.__module__} import {store.__name__}

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        class TestStore(ReadStoreContract):
            call_timeout_s = 0.5

            @pytest.fixture
            def stores(self):
                store = {store.__name__}()
                return store, store
        """
    )
    options = ("-q", "-p", "no:cacheprovider", "-o", "anyio_mode=auto", "-k", promise)
    return pytester.runpytest_inprocess(*options).parseoutcomes()


@pytest.mark.parametrize(("liar", "promise"), LIES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_store_that_lies_is_caught(pytester: pytest.Pytester, liar: type[MemoryReadStore], promise: str) -> None:
    assert outcomes(pytester, liar, promise).get("failed", 0) > 0


def test_an_honest_store_is_not(pytester: pytest.Pytester) -> None:
    found = outcomes(pytester, MemoryReadStore, " or ".join(promise for _, promise in LIES))
    assert found.get("passed", 0) >= len({promise for _, promise in LIES})
    assert not found.keys() & {"failed", "errors"}
