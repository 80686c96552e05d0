"""Addresses of databases, taken apart and put together."""

from urllib.parse import quote, urlsplit, urlunsplit


def with_database(dsn: str, name: str) -> str:
    """Return the same server's address with another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{quote(name, safe='')}"))


def with_role(dsn: str, role: str, password: str) -> str:
    """Return the same database's address for another role."""
    parts = urlsplit(dsn)
    where = parts.netloc.rpartition("@")[2]
    who = f"{quote(role, safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{who}@{where}"))


def where(dsn: str) -> str:
    """Return host, port and database of an address, without its secrets."""
    parts = urlsplit(dsn)
    return parts.netloc.rpartition("@")[2] + parts.path
