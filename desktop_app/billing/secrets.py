"""Opens billing credentials: from the environment, from the keyring of the operating system, or the sandbox's own."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from desktop_app.association.errors import EnvironmentFault

#: Under this name the keyring holds a credential: user name = the credential's name, password = the JSON object
#: ``{"login": …, "password": …, "subscription_key": …}``.
KEYRING_SERVICE = "device-association-desk"

_LOGIN = "ASSOCIATION_BILLING_LOGIN"
_PASSWORD = "ASSOCIATION_BILLING_PASSWORD"
_SUBSCRIPTION_KEY = "ASSOCIATION_BILLING_SUBSCRIPTION_KEY"
_CREDENTIAL = "ASSOCIATION_BILLING_CREDENTIAL"
_NOTIFY_SECRET = "ASSOCIATION_NOTIFY_SECRET"
#: User name under which the keyring holds the secret that notifications are signed with.
NOTIFY_USER = "notify"


@dataclass(frozen=True, slots=True, repr=False)
class BillingLogin:
    """What opens one account at the billing company.

    Attributes:
        login: ``user@clientcode``.
        password: secret.
        subscription_key: secret.
    """

    login: str
    password: str
    subscription_key: str

    def __repr__(self) -> str:
        return f"BillingLogin(login={self.login!r})"


#: The sandbox's well-known login. It protects nothing and is no secret.
SANDBOX_LOGIN = BillingLogin("demo@sandbox", "sandbox-password", "sandbox-subscription-key")


def open_login(
    kind: str, credential: str, *, is_default: bool, environ: Mapping[str, str] | None = None
) -> BillingLogin:
    """The login of a billing credential.

    The environment opens the one credential that ``ASSOCIATION_BILLING_CREDENTIAL`` names (without it: the one marked
    default), with ``ASSOCIATION_BILLING_LOGIN``, ``…_PASSWORD`` and ``…_SUBSCRIPTION_KEY``. Any other one, and that one
    without those variables, is the sandbox's own for the kind ``sandbox``, else it is read from the keyring.

    Args:
        kind: ``sandbox`` or ``revio``.
        credential: the credential's name in the database.
        is_default: whether it is the one marked default.
        environ: the process' environment by default.

    Raises:
        EnvironmentFault: it cannot be opened here.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(_CREDENTIAL, "")
    if named == credential or (not named and is_default):
        login = _from_environment(environ, credential)
        if login is not None:
            return login
    if kind == "sandbox":
        return SANDBOX_LOGIN
    return _from_keyring(credential)


def can_open(kind: str, credential: str, *, is_default: bool, environ: Mapping[str, str] | None = None) -> bool:
    """Whether :func:`open_login` works here; an engine claims only work whose credential it can open."""
    try:
        open_login(kind, credential, is_default=is_default, environ=environ)
    except EnvironmentFault:
        return False
    return True


def store_login(credential: str, login: BillingLogin) -> None:
    """Keeps the login of a billing credential in the keyring of this user.

    Raises:
        EnvironmentFault: there is no keyring here, or it takes nothing.
    """
    fields = {"login": login.login, "password": login.password, "subscription_key": login.subscription_key}
    store_secret(credential, json.dumps(fields))


def store_secret(name: str, secret: str) -> None:
    """Keeps one secret in the keyring of this user.

    Raises:
        EnvironmentFault: there is no keyring here, or it takes nothing.
    """
    import keyring
    import keyring.errors

    try:
        keyring.set_password(KEYRING_SERVICE, name, secret)
    except keyring.errors.NoKeyringError:
        raise EnvironmentFault(
            "NO_KEYRING",
            "This machine has no keyring that could hold a secret.",
            "Set it in the environment of the program instead; the documentation names the variables.",
        ) from None
    except (keyring.errors.KeyringError, OSError, RuntimeError) as error:
        raise EnvironmentFault(
            "KEYRING_FAILED",
            f"The keyring did not take the secret ({type(error).__name__}).",
            "Unlock the keyring of this user and try again.",
        ) from None


def open_notify_secret(environ: Mapping[str, str] | None = None) -> str:
    """The secret that notifications are signed with: from ``ASSOCIATION_NOTIFY_SECRET``, else from the keyring.

    Returns:
        "" where there is none here: the notifications wait in the outbox, and say so.
    """
    environ = os.environ if environ is None else environ
    return environ.get(_NOTIFY_SECRET, "") or open_secret(NOTIFY_USER)


def open_secret(name: str) -> str:
    """One secret from the keyring of this user; "" where it holds none, does not open, or there is none."""
    import keyring
    import keyring.errors

    try:
        return keyring.get_password(KEYRING_SERVICE, name) or ""
    except (keyring.errors.KeyringError, OSError, RuntimeError):
        return ""


def _from_environment(environ: Mapping[str, str], credential: str) -> BillingLogin | None:
    values = {name: environ.get(name, "") for name in (_LOGIN, _PASSWORD, _SUBSCRIPTION_KEY)}
    missing = [name for name, value in values.items() if not value]
    if len(missing) == len(values):
        return None
    if missing:
        raise EnvironmentFault(
            "BILLING_CREDENTIAL_INCOMPLETE",
            f"The environment opens the billing credential {credential!r} only in part.",
            f"Set {', '.join(missing)} too, or none of the three.",
        )
    return BillingLogin(*values.values())


def _from_keyring(credential: str) -> BillingLogin:
    what_to_do = (
        f"Store it in the keyring of this user as {KEYRING_SERVICE!r}, or set {_LOGIN}, {_PASSWORD} and "
        f"{_SUBSCRIPTION_KEY} (and {_CREDENTIAL} if it is not the default one)."
    )
    import keyring  # late: it takes long to import, and a sandbox never needs it
    import keyring.errors

    try:
        stored = keyring.get_password(KEYRING_SERVICE, credential)
    except keyring.errors.NoKeyringError:
        raise EnvironmentFault(
            "NO_KEYRING",
            f"This machine has no keyring that could hold the billing credential {credential!r}.",
            what_to_do,
        ) from None
    except (keyring.errors.KeyringError, OSError, RuntimeError) as error:
        raise EnvironmentFault(
            "KEYRING_FAILED",
            f"The keyring did not give out the billing credential {credential!r} ({type(error).__name__}).",
            "Unlock the keyring of this user and try again.",
        ) from None
    if stored is None:
        raise EnvironmentFault(
            "BILLING_CREDENTIAL_MISSING",
            f"The keyring of this user holds no billing credential {credential!r}.",
            what_to_do,
        )
    try:
        fields = json.loads(stored)
        login = BillingLogin(*(str(fields[name]) for name in ("login", "password", "subscription_key")))
    except (ValueError, TypeError, KeyError):
        raise EnvironmentFault(
            "BILLING_CREDENTIAL_DAMAGED",
            f"What the keyring holds as billing credential {credential!r} cannot be read.",
            'It has to be a JSON object with "login", "password" and "subscription_key": store it again.',
        ) from None
    return login
