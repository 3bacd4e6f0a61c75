"""Where settings come from, what is refused, and that no secret is shown."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.postgres.role import Role
from infra.secrets import role_password
from infra.settings import NotConfigured, Settings, SettingsInvalid, Source, load_settings

SECRETS = ("s3cret-kafka", "s3cret-db", "s3cret-app")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MILLSTREAM_HOME", raising=False)
    return tmp_path


def test_defaults(empty_folder: Path) -> None:
    settings = load_settings()
    assert settings.home == empty_folder / ".millstream"
    assert (settings.partitions, settings.bind_host, settings.bind_port) == (8, "127.0.0.1", 7080)
    assert set(settings.sources.values()) == {Source.DEFAULT}


def test_the_environment_wins_over_the_file(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (empty_folder / "millstream.toml").write_text(
        'partitions = 4\nbind_port = 9\n[search]\nlarge_files = ["*.min.js"]\nmax_file_size_bytes = 5\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("MILLSTREAM_PARTITIONS", "16")
    settings = load_settings()
    assert (settings.partitions, settings.bind_port) == (16, 9)
    assert (settings.search_large_files, settings.search_max_file_size_bytes) == (["*.min.js"], 5)
    assert settings.sources["partitions"] is Source.ENVIRONMENT
    assert settings.sources["bind_port"] is Source.FILE
    assert settings.sources["search_large_files"] is Source.FILE
    assert settings.sources["bind_host"] is Source.DEFAULT


def test_lists_in_the_environment_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_SEARCH_LARGE_FILES", "*.a, b/**")
    assert load_settings().search_large_files == ["*.a", "b/**"]


def test_another_file_is_named_by_the_environment(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLSTREAM_CONFIG", str(empty_folder / "other.toml"))
    with pytest.raises(SettingsInvalid, match=r"other\.toml cannot be read"):
        load_settings()
    (empty_folder / "other.toml").write_text("bind_port = 1234", encoding="utf-8")
    assert load_settings().bind_port == 1234


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partitons = 4", "unknown key 'partitons'"),
        ("[kafka]\nbootstrp = 'x'", "unknown key 'kafka_bootstrp'"),
        ("partitions = 'many'", "partitions"),
        ("partitions = 0", "partitions"),
        ("partitions =", "is not TOML"),
    ],
)
def test_a_wrong_file_names_the_key(empty_folder: Path, text: str, said: str) -> None:
    (empty_folder / "millstream.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsInvalid, match=said) as caught:
        load_settings()
    assert "millstream.toml" in str(caught.value)
    assert caught.value.remedy


def test_a_wrong_variable_is_named_and_its_value_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_BIND_PORT", "s3cret")
    with pytest.raises(SettingsInvalid, match="MILLSTREAM_BIND_PORT") as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


def test_a_cluster_of_your_own_has_other_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM_KAFKA_BOOTSTRAP", "kafka.example.com:9092")
    monkeypatch.setenv("MILLSTREAM_DATABASE_URL", "postgresql://u:p@db.example.com/m")
    settings = load_settings()
    assert not settings.embedded
    assert (settings.partitions, settings.kafka_session_timeout_ms) == (32, 45_000)
    monkeypatch.setenv("MILLSTREAM_PARTITIONS", "12")
    assert load_settings().partitions == 12


def test_what_is_needed_and_not_there_is_said() -> None:
    settings = load_settings()
    with pytest.raises(NotConfigured) as caught:
        settings.require_kafka()
    assert "MILLSTREAM_KAFKA_BOOTSTRAP" in caught.value.remedy
    with pytest.raises(NotConfigured):
        settings.dsn(Role.APP)


def secretive(home: Path) -> Settings:
    return Settings(
        home=home,
        kafka_bootstrap="k:1",
        kafka_password=SecretStr(SECRETS[0]),
        database_url=SecretStr(f"postgresql://admin:{SECRETS[1]}@db.example.com:5433/mill"),
        database_app_password=SecretStr(SECRETS[2]),
    )


def test_no_secret_is_shown(empty_folder: Path) -> None:
    settings = secretive(empty_folder)
    for shown in (str(settings.masked()), repr(settings), str(settings), repr(settings.kafka_security)):
        assert not any(secret in shown for secret in SECRETS)
    assert "db.example.com" in str(settings.masked()["database_url"])
    assert settings.kafka_security.password == SECRETS[0]


def test_each_role_has_its_own_connection_string(empty_folder: Path) -> None:
    settings = secretive(empty_folder)
    assert settings.dsn(Role.ADMIN).startswith("postgresql://admin:")
    app = settings.dsn(Role.APP)
    assert "user=millstream_app" in app
    assert "password=s3cret-app" in app
    assert "port=5433" in app
    assert SECRETS[1] not in app
    passwords = {settings.role_password(role) for role in (Role.PROJECTOR, Role.WORKER, Role.APP)}
    assert len(passwords) == 3


def test_role_passwords_are_made_once_and_kept_private(empty_folder: Path) -> None:
    first = role_password(empty_folder / "a", Role.WORKER, "postgresql://u:p@h/d")
    file = empty_folder / "a" / "millstream_worker-password"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert role_password(empty_folder / "a", Role.WORKER, "postgresql://u:changed@h/d") == first
    assert role_password(empty_folder / "b", Role.WORKER, "postgresql://u:p@other/d") == first, (
        "machines agree"
    )
    assert role_password(empty_folder / "c", Role.WORKER, "postgresql://u:q@h/d") != first
    alone = {role_password(empty_folder / name, Role.WORKER, "postgresql://u@h/d") for name in "de"}
    assert len(alone) == 2, "nothing to derive it from: random"


def test_every_setting_says_what_it_is_for() -> None:
    undescribed = [name for name, field in Settings.model_fields.items() if not field.description]
    assert undescribed == []


def test_settings_do_not_change(empty_folder: Path) -> None:
    settings = secretive(empty_folder)
    with pytest.raises(ValueError, match="frozen"):
        settings.partitions = 3
