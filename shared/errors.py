"""All errors of the system: one root, two branches.

EbbtideError
├── RetryableError      the same call may succeed later: back off and try again
│   ├── BrokerUnavailable
│   ├── StoreUnavailable
│   └── LaneFenced      another process owns the partition now
└── PermanentError      the same call will fail again: report it, keep the input, go on
    ├── InvalidConfiguration
    ├── LogTruncated    the log no longer holds what the stored offset points at
    └── RejectedByStore the store refuses this very input
"""


class EbbtideError(Exception):
    """Root of every error raised on purpose."""


class RetryableError(EbbtideError):
    """The same call may succeed later."""


class BrokerUnavailable(RetryableError):
    """Kafka did not answer, or answered that it can't now."""


class StoreUnavailable(RetryableError):
    """Postgres did not answer, or answered that it can't now."""


class LaneFenced(RetryableError):
    """Another owner holds a higher epoch: whatever this lane was about to write is void."""


class PermanentError(EbbtideError):
    """The same call will fail again."""


class InvalidConfiguration(PermanentError):
    """A setting is missing, unknown or contradicts another; the message names it."""


class LogTruncated(PermanentError):
    """The stored offset lies outside the log: records were removed, or the topic was made anew."""


class RejectedByStore(PermanentError):
    """The store refuses this very input (a constraint or a data error)."""
