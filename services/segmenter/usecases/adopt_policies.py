"""Bring users up to the policies that were activated since they were last touched.

Whoever locks a user does this first: lanes for the users of their batch, the background pass for all.
"""

from collections.abc import Collection

from services.segmenter.domain.policy import Policies
from services.segmenter.domain.profile import Change, Profile, adopt, hides_silences
from services.segmenter.usecases.ports import Store
from shared.errors import RetryableError


class PoliciesOutdated(RetryableError):
    """A policy was activated, and applied, since this transaction read the policies: begin anew."""


async def adopt_policies(
    profiles: Collection[Profile], *, policies: Policies, store: Store
) -> dict[str, Change]:
    """Return what becomes of each locked user by the policies alone; nothing where they know them all.

    Raises PoliciesOutdated.
    """
    current = policies.current.version
    if max((each.policy_version for each in profiles), default=current) > current:
        raise PoliciesOutdated(f"version {current} is not the active policy any more")
    hiding = [each.user_id for each in profiles if _is_behind(each, policies)]
    logged = await store.logged(hiding, grain=policies.grain) if hiding else {}
    return {each.user_id: adopt(each, policies, logged.get(each.user_id)) for each in profiles}


def _is_behind(profile: Profile, policies: Policies) -> bool:
    known = profile.policy_version == policies.current.version
    return not known and hides_silences(profile, policies)
