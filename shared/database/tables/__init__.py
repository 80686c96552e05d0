"""Every table, one file per owner: the names and types that readers and migrations agree on."""

from sqlalchemy import MetaData

metadata = MetaData()
