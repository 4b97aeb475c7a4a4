import dataclasses
from pathlib import Path

import pytest

from twofold import Settings
from twofold.errors import SettingsError


def test_a_variable_sets_the_field_of_its_name_in_the_fields_type() -> None:
    settings = Settings.from_environment(
        {
            "TWOFOLD_HTTP_PORT": "9000",
            "TWOFOLD_POLL_S": "0.5",
            "TWOFOLD_REBUILD_CHANGED": "no",
            "TWOFOLD_EVENT_LOG": "memory:",
            "PATH": "/usr/bin",
        }
    )
    assert settings == Settings(http_port=9000, poll_s=0.5, rebuild_changed=False, event_log="memory:")


def test_without_variables_the_defaults_hold() -> None:
    assert Settings.from_environment({}) == Settings()


def test_an_override_wins_and_none_is_no_override() -> None:
    settings = Settings.from_environment({"TWOFOLD_HTTP_PORT": "9000"}, http_port=None, http_host="0.0.0.0")
    assert (settings.http_port, settings.http_host) == (9000, "0.0.0.0")
    assert Settings.from_environment({"TWOFOLD_HTTP_PORT": "9000"}, http_port=9001).http_port == 9001


def test_a_setting_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "port"
    file.write_text("9000\n")
    assert Settings.from_environment({"TWOFOLD_HTTP_PORT_FILE": str(file)}).http_port == 9000


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"_PORT_FILE: the file '.*missing' can't be read: No such file"):
        Settings.from_environment({"TWOFOLD_HTTP_PORT_FILE": str(tmp_path / "missing")})


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("TWOFOLD_HTTP_PRT", "TWOFOLD_HTTP_PRT is no setting; did you mean TWOFOLD_HTTP_PORT? (nothing was started)"),
        (
            "TWOFOLD_QWERTY",
            "TWOFOLD_QWERTY is no setting; docs/reference/settings.md lists them all (nothing was started)",
        ),
        ("TWOFOLD_HTTP_PRT_FILE", None),
    ],
)
def test_an_unknown_variable_is_an_error_that_names_the_nearest_known_one(variable: str, sentence: str | None) -> None:
    with pytest.raises(SettingsError) as mistake:
        Settings.from_environment({variable: "1"})
    assert sentence is None or str(mistake.value) == sentence
    assert variable in str(mistake.value)


@pytest.mark.parametrize(
    ("variable", "text", "wanted"),
    [
        ("TWOFOLD_HTTP_PORT", "http", "give a whole number"),
        ("TWOFOLD_HTTP_PORT", "80.5", "give a whole number"),
        ("TWOFOLD_POLL_S", "soon", "give a number"),
        ("TWOFOLD_REBUILD_CHANGED", "maybe", "give true or false"),
    ],
)
def test_a_value_without_meaning_is_named_with_what_is_wanted(variable: str, text: str, wanted: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}='{text}': .*; {wanted}$"):
        Settings.from_environment({variable: text})


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TWOFOLD_PAGE_SIZE", "0"),
        ("TWOFOLD_PAGE_SIZE", "-1"),
        ("TWOFOLD_POLL_S", "0"),
        ("TWOFOLD_POLL_S", "nan"),
        ("TWOFOLD_POLL_S", "inf"),
        ("TWOFOLD_QUERY_TIMEOUT_S", "-inf"),
        ("TWOFOLD_HTTP_PORT", "-1"),
        ("TWOFOLD_HTTP_PORT", "65536"),
        ("TWOFOLD_LOG_LEVEL", "loud"),
        ("TWOFOLD_LOG_FORMAT", "xml"),
    ],
)
def test_a_value_out_of_range_is_refused_before_anything_starts(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{variable}.*{text}.*nothing was started"):
        Settings.from_environment({variable: text})


def test_a_port_of_zero_means_a_free_one() -> None:
    assert Settings.from_environment({"TWOFOLD_HTTP_PORT": "0"}).http_port == 0


@pytest.mark.parametrize(
    ("settings", "log", "read_store"),
    [
        (Settings(), ".twofold/log.db", ".twofold/log.read.db"),
        (Settings(event_log="memory:"), "memory", "memory"),
        (Settings(event_log="sqlite:////data/a.db", read_store="memory:"), "/data/a.db", "memory"),
        (
            Settings(event_log="postgres://ann:s3cret@db/shop"),
            "postgres://ann:***@db/shop",
            "postgres://ann:***@db/shop",
        ),
        (
            Settings(event_log="postgresql://db/shop?user=ann&password=s3cret", read_store="sqlite:///read.db"),
            "postgresql://db/shop?user=ann&password=***",
            "read.db",
        ),
    ],
)
def test_the_read_store_is_beside_the_event_log_unless_it_is_set(settings: Settings, log: str, read_store: str) -> None:
    assert (str(settings.event_log_at), str(settings.read_store_at)) == (log, read_store)


@pytest.mark.parametrize("url", ["", "sqlite:///", "sqlite://log.db", "mysql://ann:s3cret@db/shop", "log.db"])
def test_a_url_that_names_no_store_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^TWOFOLD_EVENT_LOG=.*: no store; give sqlite:///") as refused:
        _ = Settings(event_log=url).event_log_at
    assert "s3cret" not in str(refused.value)


def test_settings_never_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().http_port = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_every_quantity_of_time_or_size_says_its_unit_and_every_setting_its_meaning() -> None:
    for each in dataclasses.fields(Settings):
        assert each.metadata["doc"], each.name
        if isinstance(each.default, float):
            assert each.name.endswith("_s"), each.name
