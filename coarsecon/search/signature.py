"""Signatures of the FAISS indexes of this user, so that no others are parsed: FAISS trusts the sizes in a file.

The key is a file in the user's cache folder. An index copied from another machine is built again.
"""

import hashlib
import hmac
import os
import secrets
from functools import cache
from pathlib import Path

KEY_BYTES = 32


def sign(digest: str, factory: str) -> str:
    """Sign an index by the SHA-256 of its file and its factory string."""
    return hmac.new(user_key(), f"{digest} {factory}".encode(), hashlib.sha256).hexdigest()


def is_signed(signature: str, digest: str, factory: str) -> bool:
    """Return whether this user signed the index."""
    return hmac.compare_digest(signature.encode(), sign(digest, factory).encode())


@cache
def user_key() -> bytes:
    """Return the key of this user, created at first use; if it cannot be stored, it lasts as long as this process."""
    new = secrets.token_bytes(KEY_BYTES)
    try:
        home = os.environ.get("XDG_CACHE_HOME")
        file = (Path(home) if home else Path.home() / ".cache") / "coarsecon" / "index.key"
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            kept = file.read_bytes()
            return kept if len(kept) == KEY_BYTES else new
        with os.fdopen(handle, "wb") as opened:
            opened.write(new)
    except (OSError, RuntimeError):  # a read-only home, or none
        pass
    return new
