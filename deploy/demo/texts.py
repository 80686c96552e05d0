"""What people say about the product, in Chinese and English, with the rating they give."""

from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from deploy.demo.people import Tongue

CHANNELS = ("review", "ticket", "survey", "community")


@dataclass(frozen=True, slots=True)
class Remark:
    """One text and the stars beside it."""

    text: str
    rating: int


_CHINESE = (
    Remark("物流很快,包装也很用心,下次还会再买。", 5),
    Remark("界面清爽,找东西很方便,推荐给同事了。", 5),
    Remark("客服回复及时,问题当天就解决了,好评!", 5),
    Remark("价格比别家便宜,质量也不错。", 4),
    Remark("整体还可以,就是优惠券的规则有点复杂。", 3),
    Remark("功能够用,中规中矩吧。", 3),
    Remark("更新之后老是闪退,付款页面也打不开。", 1),
    Remark("退款等了半个月还没到账,客服一直踢皮球。", 1),
    Remark("会员又涨价了,东西却没变好,不太想续费了。", 2),
    Remark("推送太多,关都关不掉,很烦。", 2),
)
_ENGLISH = (
    Remark("Fast delivery and lovely packaging. Will order again.", 5),
    Remark("Clean app, I find everything in seconds.", 5),
    Remark("Support answered within an hour and fixed it. Thank you!", 5),
    Remark("Good value for money, quality is fine too.", 4),
    Remark("Does what it says. Coupons are a bit confusing.", 3),
    Remark("It is okay, nothing special.", 3),
    Remark("Crashes on the payment page since the last update.", 1),
    Remark("Two weeks and still no refund. Nobody takes responsibility.", 1),
    Remark("The price went up again and nothing got better.", 2),
    Remark("Far too many notifications and no way to turn them off.", 2),
)
REMARKS = MappingProxyType({Tongue.CHINESE: _CHINESE, Tongue.ENGLISH: _ENGLISH})


def remark(tongue: Tongue, random: Random) -> Remark:
    """Return something that a person of this language says."""
    return random.choice(REMARKS[tongue])
