"""Who may ask: bearer keys, and the scope that each route declares."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from shared.http.keys import KeyBook
from shared.http.problems import Problem


class Scope(StrEnum):
    """What a key may do. Every route names one; a test refuses a route that does not."""

    READ = "read"
    WRITE = "write"  # what is counted: definitions; never what happened


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks."""

    name: str
    scopes: frozenset[Scope]


_bearer = HTTPBearer(auto_error=False, description="a key of EBBTIDE_API_KEYS")


class Access:
    """Turns a request's key into a principal, or refuses it."""

    def __init__(self, keys: KeyBook, *, writers: Collection[str] = ()) -> None:
        self._keys = keys
        self._writers = frozenset(writers)

    def requires(self, scope: Scope) -> Callable[..., Principal]:
        """Return the dependency of a route that needs the scope."""

        def principal(
            given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        ) -> Principal:
            name = None if given is None else self._keys.name_of(given.credentials)
            if name is None:
                raise Problem(
                    HTTPStatus.UNAUTHORIZED,
                    "invalid_api_key",
                    "the API key is missing or not known",
                    headers={"WWW-Authenticate": 'Bearer realm="ebbtide"'},
                )
            asking = Principal(name, self._scopes_of(name))
            if scope not in asking.scopes:
                raise Problem(HTTPStatus.FORBIDDEN, "missing_scope", f"the key lacks {scope}")
            return asking

        principal.scope = scope  # type: ignore[attr-defined]  # read by the test of all routes
        return principal

    def _scopes_of(self, name: str) -> frozenset[Scope]:
        return frozenset(Scope if name in self._writers else {Scope.READ})
