import pytest

from shared.database import session
from shared.errors import StoreUnavailable


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://u:Sup3rS3cret#x@127.0.0.1:1/db",
        "postgresql://u:1?Sup3rS3cret@127.0.0.1:1/db",
        "postgresql://u:Sup3rS3cret@127.0.0.1:99999/db",
    ],
)
async def test_an_address_that_the_driver_cannot_read_is_an_absence_that_quotes_none_of_it(
    dsn: str,
) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await session.connect(dsn, worker="w")

    assert "Sup3rS3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
