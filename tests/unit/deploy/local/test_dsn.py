from deploy.local import dsn

OWNER = "postgresql://owner:p%2Fw@db.example:5433/shop?sslmode=require"


def test_another_role_keeps_the_place_and_the_options() -> None:
    assert (
        dsn.with_role(OWNER, "ebbtide_api", "a/b@c")
        == "postgresql://ebbtide_api:a%2Fb%40c@db.example:5433/shop?sslmode=require"
    )


def test_another_database_keeps_the_rest() -> None:
    expected = "postgresql://owner:p%2Fw@db.example:5433/other?sslmode=require"
    assert dsn.with_database(OWNER, "other") == expected


def test_a_place_is_named_without_its_secrets() -> None:
    assert dsn.where(OWNER) == "db.example:5433/shop"
