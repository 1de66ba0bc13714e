"""Credentials out of the environment, the keyring, or neither."""

from __future__ import annotations

import json
from collections.abc import Iterator

import keyring
import keyring.backend
import keyring.errors
import pytest

from desktop_app.association.errors import EnvironmentFault
from desktop_app.billing.sandbox import api
from desktop_app.billing.secrets import (
    KEYRING_SERVICE,
    NOTIFY_USER,
    SANDBOX_LOGIN,
    BillingLogin,
    can_open,
    open_login,
    open_notify_secret,
)

ENVIRONMENT = {
    "ASSOCIATION_BILLING_LOGIN": "me@company",
    "ASSOCIATION_BILLING_PASSWORD": "pass-word",
    "ASSOCIATION_BILLING_SUBSCRIPTION_KEY": "key",
}
FROM_ENVIRONMENT = BillingLogin("me@company", "pass-word", "key")
STORED = {"login": "stored@company", "password": "stored-word", "subscription_key": "stored-key"}


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that lasts as long as the test."""

    priority = 1

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.error: Exception | None = None

    def get_password(self, service: str, username: str) -> str | None:
        if self.error is not None:
            raise self.error
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def ring() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    mine = MemoryKeyring()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


@pytest.mark.parametrize(
    ("credential", "is_default", "named", "opened"),
    [
        ("main", True, None, True),
        ("main", False, None, False),
        ("other", False, "other", True),
        ("main", True, "other", False),  # the environment belongs to the one that it names
        ("main", True, "", True),
    ],
)
def test_the_environment_opens_one_credential(
    credential: str, is_default: bool, named: str | None, opened: bool
) -> None:
    environ = ENVIRONMENT | ({"ASSOCIATION_BILLING_CREDENTIAL": named} if named is not None else {})
    login = open_login("sandbox", credential, is_default=is_default, environ=environ)
    assert login == (FROM_ENVIRONMENT if opened else SANDBOX_LOGIN)


@pytest.mark.parametrize("missing", ENVIRONMENT)
def test_half_an_environment_is_an_error_and_not_another_login(missing: str) -> None:
    environ = {name: value for name, value in ENVIRONMENT.items() if name != missing}
    for kind in ("sandbox", "revio"):
        with pytest.raises(EnvironmentFault) as caught:
            open_login(kind, "main", is_default=True, environ=environ)
        assert caught.value.code == "BILLING_CREDENTIAL_INCOMPLETE"
        assert missing in caught.value.what_to_do
        assert "pass-word" not in f"{caught.value} {caught.value.what_to_do}"


def test_the_sandbox_needs_nothing() -> None:
    assert open_login("sandbox", "main", is_default=True, environ={}) == SANDBOX_LOGIN
    assert can_open("sandbox", "any", is_default=False, environ={})


def test_both_sides_know_the_login_of_the_sandbox() -> None:
    assert BillingLogin(api.LOGIN, api.PASSWORD, api.SUBSCRIPTION_KEY) == SANDBOX_LOGIN


def test_the_keyring_holds_the_rest(ring: MemoryKeyring) -> None:
    ring.set_password(KEYRING_SERVICE, "main", json.dumps(STORED))
    assert open_login("revio", "main", is_default=True, environ={}) == BillingLogin(*STORED.values())
    assert can_open("revio", "main", is_default=False, environ={})
    assert not can_open("revio", "other", is_default=False, environ={})
    assert open_login("revio", "main", is_default=True, environ=ENVIRONMENT) == FROM_ENVIRONMENT


def test_a_machine_without_keyring_is_told_what_to_do() -> None:
    with pytest.raises(EnvironmentFault) as caught:
        open_login("revio", "main", is_default=True, environ={})
    assert caught.value.code == "NO_KEYRING"
    assert "ASSOCIATION_BILLING_PASSWORD" in caught.value.what_to_do


@pytest.mark.parametrize(
    ("stored", "error", "code"),
    [
        (None, None, "BILLING_CREDENTIAL_MISSING"),
        ("hush", None, "BILLING_CREDENTIAL_DAMAGED"),
        ('["hush"]', None, "BILLING_CREDENTIAL_DAMAGED"),
        ('{"login": "hush"}', None, "BILLING_CREDENTIAL_DAMAGED"),
        (None, keyring.errors.KeyringLocked("hush"), "KEYRING_FAILED"),
        (None, keyring.errors.NoKeyringError("hush"), "NO_KEYRING"),
        (None, OSError("hush"), "KEYRING_FAILED"),
    ],
)
def test_a_keyring_that_does_not_help(
    ring: MemoryKeyring, stored: str | None, error: Exception | None, code: str
) -> None:
    if stored is not None:
        ring.set_password(KEYRING_SERVICE, "main", stored)
    ring.error = error
    with pytest.raises(EnvironmentFault) as caught:
        open_login("revio", "main", is_default=True, environ={})
    assert caught.value.code == code
    assert "hush" not in f"{caught.value} {caught.value.what_to_do}"


def test_a_login_does_not_show_its_secrets() -> None:
    assert repr(FROM_ENVIRONMENT) == "BillingLogin(login='me@company')"
    assert f"{FROM_ENVIRONMENT}" == "BillingLogin(login='me@company')"


def test_the_notifications_secret_comes_from_the_environment_else_from_the_keyring(ring: MemoryKeyring) -> None:
    assert open_notify_secret({}) == ""
    ring.set_password(KEYRING_SERVICE, NOTIFY_USER, "kept")
    assert open_notify_secret({}) == "kept"
    assert open_notify_secret({"ASSOCIATION_NOTIFY_SECRET": "given"}) == "given"
    ring.error = keyring.errors.NoKeyringError("hush")
    assert open_notify_secret({}) == ""
