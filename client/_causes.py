"""Why no whole reply came: in the operating system's words, and whether trying again can mend it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Final, NamedTuple

from ._errors import StatusReadFailed, SubmitFailed
from ._events import Failure
from ._kept import ClosedBefore

# OpenSSL's numbers (X509_V_ERR_...).
_EXPIRED: Final = (9, 10)
_OTHER_NAME: Final = (62, 64)


class Cause(NamedTuple):
    """What broke an exchange. passing: another try may mend it. resent: how many times it was sent again."""

    words: str
    passing: bool = True
    resent: int = 0

    def submit_failed(self) -> SubmitFailed:
        """Return the error of a submission that got no reply."""
        return SubmitFailed(None, self.words, retryable=self.passing)

    def read_failed(self) -> StatusReadFailed:
        """Return the error of a status request that got no reply."""
        return StatusReadFailed(Failure("transport", detail=self.words, retryable=self.passing))


def cause_of(error: BaseException, wrappings: tuple[type[BaseException], ...], *, reached: bool) -> Cause:
    """Return the cause of a broken exchange, from under a library's ``wrappings``.

    reached: whether this host has answered before: then its name is known to be right, and a name that cannot
    be looked up passes. A certificate that is not trusted never does.
    """
    for inner in _chain(error):
        if isinstance(inner, ClosedBefore):  # the system's own words are under it
            continue
        nameless = type(inner) is OSError and inner.errno is None  # a library's own summary
        if isinstance(inner, OSError) and not isinstance(inner, wrappings) and not nameless:
            words = f"{type(inner).__name__}: {inner}"
            if isinstance(inner, ssl.SSLCertVerificationError):
                return Cause(f"{words}; {_remedy(inner.verify_code)}", passing=False)
            if isinstance(inner, socket.gaierror) and not reached:
                return Cause(f"{words}; there may be a mistake in the name of the host", passing=False)
            return Cause(words)
    return Cause(f"{type(error).__name__}: {error}")


def closed_before(error: BaseException) -> bool:
    """Return whether the server closed a kept connection before it read the request."""
    return any(isinstance(inner, ClosedBefore) for inner in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    inner: BaseException | None = error
    while inner is not None:
        yield inner
        inner = inner.__cause__ or inner.__context__


def _remedy(verify_code: int) -> str:
    if verify_code in _EXPIRED:
        return "the server's certificate is not valid at this time: have it renewed, or set this clock right"
    if verify_code in _OTHER_NAME:
        return "the server's certificate is for another name: use the address that it names"
    return (
        "the server's certificate is not trusted: if its authority is your own, name the file with that "
        "authority's certificate (--ca FILE, or ca= in Python)"
    )
