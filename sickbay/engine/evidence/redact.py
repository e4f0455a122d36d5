"""Replace secrets by stable tokens, in every string that leaves the process.

The same secret gives the same token wherever it stands, so that two mentions can still be seen to be one.
Tokens are keyed by a random number of this host: nobody can find a secret by hashing guesses.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sickbay.engine.bounded_call import within
from sickbay.engine.evidence.state import state_folder

__all__ = ["Redactor", "host_key"]

_DISK_WAIT_S = 2.0
_SHORTEST = 4  # a shorter "secret" would blank ordinary words

_NAMES = (
    r"api[_-]?key|apikey|x-api-key|access[_-]?token|auth[_-]?token|refresh[_-]?token|api[_-]?token|hf[_-]?token|"
    r"client[_-]?secret|secret[_-]?key|secret|password|passwd|passphrase|credentials?"
)
_QUOTED = r"""(?:"[^"\n]{1,4096}"|'[^'\n]{1,4096}'|[^\s"',;&}\])<>]{1,4096})"""

_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)")),
    ("password in a URL", re.compile(r"(?<=://)[^/\s:@]{0,256}:[^/\s@]{1,256}(?=@)")),
    (
        "authorization",
        re.compile(r"""(?i)(\bauthorization["']?\s*[:=]\s*["']?(?:(?:bearer|basic|token|digest)\s+)?)([^\s"',;]{1,4096})"""),
    ),
    ("bearer token", re.compile(r"(?i)(\bbearer\s+)((?=\S*\d|\S{20})[a-z0-9._~+/=-]{8,})")),
    ("basic credentials", re.compile(r"(\bBasic\s+)((?=\S*[\d=])[A-Za-z0-9+/=]{8,})")),
    ("api key", re.compile(r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{12,}")),
    ("token", re.compile(r"\b(?:hf_|gh[pos]_|github_pat_|glpat-|nvapi-|xox[abprs]-|AIza|gsk_)[A-Za-z0-9_-]{12,}")),
    ("access key id", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("web token", re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*")),
    ("flag", re.compile(rf"(?i)(--(?:{_NAMES}|token)(?:[= ]\s*))({_QUOTED})")),
    ("variable", re.compile(rf"(\b[A-Z][A-Z0-9_]*(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)\s*=\s*)({_QUOTED})")),
    ("setting", re.compile(rf"""(?i)((?<![a-z])(?:{_NAMES})["']?\s*[=:]\s*)({_QUOTED})""")),
)  # fmt: skip
_HINT = re.compile(
    r"(?i)://[^/\s]*@|-----BEGIN|auth|bearer|basic|sk-|pk-|rk-|hf_|gh[pos]_|github_pat|glpat|nvapi|xox|aiza|gsk_|"
    r"akia|asia|eyj|key|token|secret|passw|passp|credential"
)
_SECRET_KEY = re.compile(rf"(?i)^(?:.*[_-])?(?:{_NAMES}|authorization|proxy-authorization|cookie|set-cookie)$")
_SECRET_FLAG = re.compile(rf"(?i)^--(?:{_NAMES}|token)$")
_NO_SECRETS = {"none", "null", "true", "false", "", "***", "(set)"}


class Redactor:
    """Redacts the strings of one run.

    Args:
        known: secrets that are known, with what they are ("api key").
        key: the key of the tokens; the host's unless given.
    """

    def __init__(self, known: Mapping[str, str] | None = None, *, key: bytes | None = None) -> None:
        self._key = host_key() if key is None else key
        self._known = {secret: what for secret, what in (known or {}).items() if len(secret) >= _SHORTEST}
        # Longest first: one secret may begin with another.
        longest_first = sorted(self._known, key=len, reverse=True)
        self._exact = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self.found: dict[str, str] = {}
        """token -> what it stands for; for the report's `redactions`."""

    def known(self, text: str) -> str:
        """The text without the secrets that are known; words that only look like one stay."""
        if self._exact is None:
            return text
        return self._exact.sub(lambda match: self.token(match.group(), self._known[match.group()]), text)

    def text(self, text: str) -> str:
        """The text without secrets."""
        text = self.known(text)
        if len(text) < 8 or _HINT.search(text) is None:
            return text
        for what, pattern in _PATTERNS:
            text = pattern.sub(lambda match, what=what: self._replaced(match, what), text)  # type: ignore[misc]
        return text

    def data(self, value: Any, *, where: str = "raw") -> Any:
        """JSON-able data without secrets; tuples become lists, numbers that JSON lacks become their names.

        Raises:
            TypeError: something in it is no JSON; the message says where.
        """
        if isinstance(value, str):
            return self.text(value) if value else value
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return value if value - value == 0.0 else str(value)
        if isinstance(value, Mapping):
            return {self._name(key, where): self._under(key, item, where) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return self._items(value, where)
        raise TypeError(f"{where} is a {type(value).__name__} ({value!r:.60}); wanted JSON data")

    def token(self, secret: str, what: str) -> str:
        """The token that stands for this secret."""
        digest = hmac.new(self._key, secret.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:10]
        token = f"[redacted:{digest}]"
        self.found.setdefault(token, what)
        return token

    def _name(self, key: object, where: str) -> str:
        if not isinstance(key, str):
            raise TypeError(f"{where} has the key {key!r}; wanted text")
        return self.text(key)

    def _under(self, key: str, value: Any, where: str) -> Any:
        if isinstance(value, str) and _is_secret(value) and _SECRET_KEY.match(key):
            return self.token(value, key.lower())
        return self.data(value, where=f"{where}[{key!r}]")

    def _items(self, items: list[Any] | tuple[Any, ...], where: str) -> list[Any]:
        out: list[Any] = []
        after_flag = False
        for index, item in enumerate(items):
            if after_flag and isinstance(item, str) and _is_secret(item):
                out.append(self.token(item, "flag"))
            else:
                out.append(self.data(item, where=f"{where}[{index}]"))
            after_flag = isinstance(item, str) and _SECRET_FLAG.match(item) is not None
        return out

    def _replaced(self, match: re.Match[str], what: str) -> str:
        before, secret = match.groups() if match.re.groups else ("", match.group())
        if not _is_secret(secret.strip("\"'")):
            return match.group()
        quote = secret[0] if secret[0] in "\"'" else ""
        return f"{before}{quote}{self.token(secret.strip(quote) if quote else secret, what)}{quote}"


def _is_secret(text: str) -> bool:
    """Whether it can be one: neither empty, nor a word for none, nor already a token."""
    return text.lower() not in _NO_SECRETS and not text.startswith("[redacted:")


def host_key() -> bytes:
    """This host's key for tokens, made on first use; a random one where it cannot be kept or its disk stalls."""
    try:
        return within(_DISK_WAIT_S, _kept_key)
    except TimeoutError:
        return secrets.token_bytes(32)


def _kept_key() -> bytes:
    path = state_folder() / "redaction.key"
    found = _read_key(path)
    if len(found) >= 16:
        return found
    with suppress(OSError):
        path.unlink()
    key = secrets.token_bytes(32)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(key)
    except FileExistsError:
        return _read_key(path) or key
    except OSError:
        pass  # a read-only home: tokens are then stable within this run only
    return key


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(1_024)
    except OSError:
        return b""
