"""Keeps secrets out of what is stored and shown, also where a server sends them back."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from html import escape
from urllib.parse import quote, quote_plus

#: Longest answer that is kept.
MAX_ANSWER = 400
_HIDDEN = "[hidden]"
# what looks like a secret though it is none of ours
_LOOKS_SECRET = re.compile(
    r"""(?ix)
    ( authorization | (?: subscription | api )[-_ ]?key | password | passwd | secret | token )
    ( ["']? \s* [:=] \s* ) (?: "[^"]*" | '[^']*' | (?: (?:basic|bearer) \s+ )? [^\s,;&"'<>}]+ )
    """
)


class Redactor:
    """Cleans texts of a set of secrets, in the encodings in which they may come back."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets if secret for form in _forms(secret)}
        # the longest first: one may be part of another
        self._pattern = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))) or r"(?!)")

    def clean(self, text: str, limit: int = MAX_ANSWER) -> str:
        """The text on one line, without secrets, cut to ``limit`` characters."""
        text = self._pattern.sub(_HIDDEN, text)
        text = _LOOKS_SECRET.sub(lambda match: f"{match[1]}{match[2]}{_HIDDEN}", text)
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= limit else text[: limit - 1] + "…"


def login_secrets(login: str, password: str, subscription_key: str) -> tuple[str, ...]:
    """Everything that opens the account: password, key, and the login with the password as Basic sends it."""
    pair = f"{login}:{password}"
    return password, subscription_key, pair, b64encode(pair.encode()).decode()


def _forms(secret: str) -> set[str]:
    return {
        secret,
        quote(secret, safe=""),
        quote_plus(secret),
        escape(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    }
