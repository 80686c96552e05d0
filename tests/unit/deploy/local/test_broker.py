from deploy.local.broker import _cluster_id


def test_a_clusters_id_never_looks_like_an_option() -> None:
    assert not [each for each in (_cluster_id() for _ in range(2_000)) if each.startswith("-")]
