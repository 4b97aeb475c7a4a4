"""The contract of read stores is itself proved: a store that lies fails the test of the promise that it breaks."""

import pytest

from tests.contract import lying_leases as leases
from tests.contract import lying_read_stores as lying
from tests.contract.lying_leases import ExpiringStore
from twofold.stores.memory.read_store import MemoryReadStore
from twofold.testing.leases_contract import ExpiringLeasesContract, LeasesContract
from twofold.testing.read_store_contract import ReadStoreContract, ReadStoreFixtures

pytest_plugins = ["pytester"]

# Each beside a test of fixed examples: hypothesis would take its time to make a failure small.
LIES = [
    (lying.RowsWithoutCheckpoint, "rows_and_checkpoint_are_saved_together"),
    (lying.CheckpointWithoutRows, "rows_and_checkpoint_are_saved_together"),
    (lying.ChecksTheFenceAfterWriting, "the_worker_of_an_earlier_epoch_writes_nothing"),
    (lying.IgnoresTheEpoch, "the_worker_of_an_earlier_epoch_writes_nothing"),
    (lying.IgnoresWhereThePageStarts, "a_page_that_does_not_start_at_the_checkpoint_writes_nothing"),
    (lying.KeepsTheMovedSharesToItself, "rows_and_checkpoint_are_saved_together"),
    (lying.ChecksOnlyThePartitionsThatAreThere, "a_partition_that_is_not_there_is_fenced"),
    (lying.SavesThePartitionsThatItCan, "a_fold_over_several_partitions_is_all_or_none"),
    (lying.IgnoresTheEpoch, "a_taken_share_fences_the_fold"),
    (lying.SavesWithoutAShare, "nothing_is_saved_without_a_share"),
    (lying.MovesEveryPartition, "partitions_move_independently"),
    (lying.HasOneCheckpointForAll, "every_partition_has_a_checkpoint"),
    (lying.MakesAnewWhatOtherCodeMade, "a_table_that_other_code_made_is_left_as_it_is"),
    (lying.TakesOverWhatOtherCodeMade, "a_table_that_other_code_made_is_left_as_it_is"),
    (lying.OpensUnderANewEpoch, "opening_again_changes_nothing_and_fences_nobody"),
    (lying.KeepsRowsAtARestart, "a_restart_makes_any_table_anew"),
    (lying.KeepsSharesAtARestart, "a_restart_voids_every_share"),
    (lying.TakesRowsOfOtherColumns, "rows_of_other_columns_than_the_table_has_are_refused"),
    (lying.PromotesUnpaused, "a_read_model_stays_paused_until_told_otherwise"),
    (lying.ThrowsTheFormerAway, "a_promotion_keeps_the_former_table"),
    (lying.KeepsTheFirstFormer, "a_promotion_keeps_the_former_table"),
    (lying.LosesWhatATakenBackPromotionReplaced, "a_promotion_can_be_taken_back"),
    (lying.PromotesUnderTheGivenFingerprints, "a_promotion_can_be_taken_back"),
    (lying.PromotesWithoutANewEpoch, "a_promotion_fences_the_workers_of_both_tables"),
    (lying.KeepsTheFormerWithoutANewEpoch, "a_promotion_fences_the_workers_of_both_tables"),
    (lying.DropsNothing, "a_dropped_read_model_is_gone_and_no_other"),
    (lying.DropsWhatStandsAside, "a_dropped_read_model_is_gone_and_no_other"),
    (lying.MindsDroppingNothing, "dropping_what_is_not_there_changes_nothing"),
    (lying.ForgetsTheEpochsOfWhatIsGone, "a_dropped_read_model_can_be_opened_again"),
    (lying.ShowsTheCheckpointBeforeTheRows, "a_checkpoint_that_a_reader_sees_is_never_ahead_of_the_rows"),
    (lying.NeverWakes, "a_reader_that_waits_is_woken_by_every_save"),
    (lying.WakesOnlyWhoSleeps, "a_move_between_two_waits_is_not_missed"),
    (lying.NeverSleeps, "waiting_for_nothing_ends_in_time_and_is_no_busy_loop"),
    (lying.UsesEpochsAgain, "the_worker_of_an_earlier_rebuild_never_writes_into_a_later_one"),
    (lying.ForgetsDeletions, "deleted_rows_are_gone_and_may_come_again"),
    (lying.ForgetsPauses, "a_read_model_stays_paused_until_told_otherwise"),
    (lying.LosesDecimalDigits, "extreme_values_survive_exactly"),
    (lying.LosesOffsets, "extreme_values_survive_exactly"),
    (lying.LosesMicroseconds, "extreme_values_survive_exactly"),
    (lying.TakesWhatItCanNotHold, "a_value_that_a_column_can_not_hold"),
    (lying.SavesHalfOfARefusedPage, "a_value_that_a_column_can_not_hold"),
    (lying.ShowsHalfASave, "readers_see_all_of_a_save_or_nothing_of_it"),
    (lying.PromotesForWhoeverAsks, "a_promotion_by_one_that_has_lost_a_table_is_refused"),
    (lying.PromotesInTwoSteps, "readers_never_miss_a_table_while_it_is_promoted"),
    (lying.IgnoresStartAfter, "a_page_may_start_behind_a_row_that_is_gone"),
    (lying.OrdersDecimalsAsText, "order_is_by_value_with_none_first"),
    (lying.ComparesDigits, "times_are_found_by_instant"),
    (lying.SearchesInsideWords, "search_finds_rows_whose_words_start_with_every_word"),
    (lying.SearchesRowsAsTheyWere, "search_knows_rows_as_they_are_now"),
    (lying.Hangs, "saved_rows_are_loaded"),
]


LEASE_LIES = [
    (leases.KeepsAllItHas, "workers_that_want_the_same_share_it_evenly"),
    (leases.TakesAllItCan, "seizing_by_force_fences_whoever_holds_them"),
    (leases.TakesAllItCan, "workers_that_want_the_same_share_it_evenly"),
    (leases.GivesOneShareToTwo, "workers_that_race_never_share_a_partition"),
    (leases.SharesOutEachReadModelByItself, "read_models_of_one_partition_each_are_shared_out_too"),
    (leases.SharesOutAnewEachTime, "shares_are_sticky"),
    (leases.SharesOutAnewEachTime, "what_nobody_else_wants_is_held_whole"),
    (leases.LeavesWhatNobodyElseWants, "a_worker_alone_gets_every_partition"),
    (leases.RenewsEpochs, "leasing_again_keeps_shares_and_epochs"),
    (leases.TakesUnderTheFormerEpoch, "a_new_holder_has_a_newer_epoch"),
    (leases.TakesUnderTheFormerEpoch, "seizing_takes_every_partition_under_new_epochs"),
    (leases.TellsPositionsAsTheyWereTaken, "a_share_is_what_a_fold_needs"),
    (leases.KeepsWhatIsNoLongerWanted, "what_a_worker_no_longer_wants_is_given_back"),
    (leases.InventsReadModels, "read_models_that_are_not_there_are_left_out"),
    (leases.ReleasesNothing, "what_is_released_can_be_taken_at_once"),
    (leases.ReleasesEverybody, "releasing_nothing_changes_nothing"),
    (leases.SeizesWhatIsFree, "seizing_takes_all_or_none"),
    (leases.SeizesByForceAlways, "seizing_takes_all_or_none"),
    (leases.NeverSeizesByForce, "seizing_by_force_fences_whoever_holds_them"),
    (leases.SeizesUnderNewEpochsAgain, "seizing_again_keeps_the_epochs"),
    (leases.SeizesNothingThere, "an_unknown_read_model_can_not_be_seized"),
    (leases.SharesOutWhatIsSeized, "others_get_nothing_of_what_is_seized"),
    (leases.PromotesWithTheHolders, "a_restart_a_drop_and_a_promotion_take_the_shares_away"),
    (lying.ForgetsTheEpochsOfWhatIsGone, "epochs_are_newer_also_after_a_read_model_was_made_anew"),
    (leases.TellsNoErrors, "what_hinders_a_worker_is_told"),
    (leases.KeepsErrors, "what_hinders_a_worker_is_told"),
    (leases.TellsTheLastWorkersErrorOnly, "one_worker_s_error_is_not_hidden"),
    (leases.LeasesNothingThatIsPaused, "a_paused_read_model_is_leased_and_says_so"),
]
TIME_LIES = [
    (leases.NeverExpires, "the_shares_of_a_worker_that_is_silent_are_taken_over"),
    (leases.ExpiresMuchTooLate, "the_shares_of_a_worker_that_is_silent_are_taken_over"),
    (leases.TakesWhatRanOutWithoutFencing, "the_shares_of_a_worker_that_is_silent_are_taken_over"),
    (leases.ExpiresAtOnce, "nothing_is_taken_before_a_lease_has_run_out"),
    (leases.LeasesOnce, "a_worker_that_says_so_in_time_keeps_what_it_has"),
    (leases.LosesWhatRanOut, "a_lease_that_ran_out_and_that_nobody_took_is_kept"),
    (leases.LeasesOnce, "a_seized_lease_runs_out_and_seizing_again_extends_it"),
    (leases.SeizesForEver, "a_seized_lease_runs_out_and_seizing_again_extends_it"),
    (leases.SeizesOnlyWhatWasGivenBack, "what_ran_out_can_be_seized_without_force"),
    (leases.CountsTheSilent, "a_silent_worker_no_longer_counts"),
    (leases.TellsErrorsOfThoseWhoAreGone, "the_error_of_a_worker_that_is_gone_is_no_longer_told"),
    (leases.GoesByTheWallClock, "the_worker_s_clock_does_not_matter"),
]
CONTRACTS = [(ReadStoreContract, LIES), (LeasesContract, LEASE_LIES), (ExpiringLeasesContract, TIME_LIES)]
EVERY_LIE = [(contract, liar, promise) for contract, lies in CONTRACTS for liar, promise in lies]
HONEST = [
    (ReadStoreContract, MemoryReadStore),
    (LeasesContract, ExpiringStore),
    (ExpiringLeasesContract, ExpiringStore),
]


def outcomes(
    pytester: pytest.Pytester, contract: type[ReadStoreFixtures], store: type[MemoryReadStore], promise: str
) -> dict[str, int]:
    """Run the tests of one promise against a store."""
    pytester.makepyfile(
        f"""
        import pytest
        from {contract.__module__} import {contract.__name__}
        from {store.__module__} import {store.__name__}

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        class TestStore({contract.__name__}):
            call_timeout_s = 0.5
            lease_s = 0.4
            slack_s = 0.6

            @pytest.fixture
            def stores(self):
                store = {store.__name__}()
                return store, store
        """
    )
    options = ("-q", "-p", "no:cacheprovider", "-o", "anyio_mode=auto", "-k", promise)
    return pytester.runpytest_inprocess(*options).parseoutcomes()


@pytest.mark.parametrize(
    ("contract", "liar", "promise"),
    EVERY_LIE,
    ids=lambda value: getattr(value, "__name__", "").removesuffix("Contract"),
)
def test_a_store_that_lies_is_caught(
    pytester: pytest.Pytester, contract: type[ReadStoreFixtures], liar: type[MemoryReadStore], promise: str
) -> None:
    found = outcomes(pytester, contract, liar, promise)
    assert found.get("failed", 0) > 0
    assert "errors" not in found


@pytest.mark.parametrize(("contract", "store"), HONEST, ids=lambda value: value.__name__)
def test_an_honest_store_is_not(
    pytester: pytest.Pytester, contract: type[ReadStoreFixtures], store: type[MemoryReadStore]
) -> None:
    promises = {promise for each, lies in CONTRACTS for _, promise in lies if each is contract}
    found = outcomes(pytester, contract, store, " or ".join(promises))
    assert found.get("passed", 0) >= len(promises)
    assert not found.keys() & {"failed", "errors"}
