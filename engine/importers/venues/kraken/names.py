"""Kraken's names: assets with their old X and Z prefixes, and pairs without a separator."""

from __future__ import annotations

from engine.importers.venues.reading import Odd
from ledger.errors import shown

_ASSETS = {
    "XBT": "BTC", "XXBT": "BTC", "XDG": "DOGE", "XXDG": "DOGE", "XETH": "ETH", "XETC": "ETC", "XLTC": "LTC", "XMLN": "MLN",
    "XREP": "REP", "XXLM": "XLM", "XXMR": "XMR", "XXRP": "XRP", "XZEC": "ZEC", "XICN": "ICN", "XDAO": "DAO", "XNMC": "NMC",
    "XXVN": "VEN", "ZEUR": "EUR", "ZUSD": "USD", "ZGBP": "GBP", "ZJPY": "JPY", "ZCAD": "CAD", "ZAUD": "AUD", "ZKRW": "KRW",
}  # fmt: skip
# What pairs are quoted in, the longest first.
_QUOTES = (
    "RLUSD", "USDT", "USDC", "USDG", "PYUSD", "EURQ", "EURR", "ZEUR", "ZUSD", "ZGBP", "ZJPY", "ZCAD", "ZAUD", "XXBT",
    "XETH", "USD", "EUR", "GBP", "JPY", "CAD", "AUD", "CHF", "AED", "XBT", "BTC", "ETH", "DAI", "DOT", "SOL",
)  # fmt: skip


def asset_name(given: str) -> str:
    """An asset without its old prefix: XXBT, XBT and BTC are BTC. What follows a point, as in XBT.M, stays."""
    asset, point, wallet = given.partition(".")
    return _ASSETS.get(asset, asset) + point + wallet


def split_pair(pair: str) -> tuple[str, str]:
    """Base and quote of a pair such as XXBTZUSD, XBTUSD or BTC/USD. Raises Odd."""
    base, slash, quote = pair.partition("/")
    if slash and base and quote:
        return asset_name(base), asset_name(quote)
    cuts = [
        (pair.removesuffix(quote), quote) for quote in sorted(_QUOTES, key=len, reverse=True) if pair.endswith(quote)
    ]
    # XTZEUR is XTZ and EUR, not XT and ZEUR: assets of two letters are rare.
    for shortest in (3, 2):
        for base, quote in cuts:
            if len(base) >= shortest:
                return asset_name(base), asset_name(quote)
    raise Odd(f"it is not clear which two assets the pair {shown(pair)} has")
