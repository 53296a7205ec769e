"""Wallets of crypto currencies: the checksum decides if there is one.

Bitcoin and similar currencies (Base58Check, Bech32, Bech32m), Tron, Ripple and Cardano need a valid checksum; the forms
of Ethereum and Monero are specific enough. Presidio finds only Bitcoin.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import regex

from gateway.detect.core.index import Expression
from gateway.detect.core.rules import Rule, finder

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE: Final = "rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKS: Final = (1, 0x2BC830A3)  # Bech32, Bech32m

# An underscore before or behind an address begins another word: the checksums and forms leave no doubt.
_PAYMENT: Final = r"[123LMDAXTr][1-9A-HJ-NP-Za-km-z]{24,34}"
_SEGWIT: Final = r"(?:bc|tb|ltc|addr|bitcoincash|cosmos|osmo|stake)1[02-9ac-hj-np-z]{6,110}"
_ETHEREUM: Final = r"0x[0-9a-fA-F]{40}"
_MONERO: Final = r"[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93}"


def base58check(value: str, alphabet: str = _BASE58) -> bool:
    """Whether the last four bytes of a Base58 value are the checksum of the bytes before."""
    number = 0
    for char in value:
        at = alphabet.find(char)
        if at < 0:
            return False
        number = number * 58 + at
    zeros = len(value) - len(value.lstrip(alphabet[0]))
    data = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    digest = hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()
    return len(data) in (25, 26) and data[-4:] == digest[:4]


def bech32(value: str) -> bool:
    """Whether the checksum of a Bech32 or Bech32m value is correct."""
    if value not in (value.lower(), value.upper()):
        return False
    head, _, tail = value.lower().rpartition("1")
    codes = [_BECH32.find(char) for char in tail]
    if not head or len(codes) < 6 or min(codes) < 0:
        return False
    check = 1
    for code in [*(ord(char) >> 5 for char in head), 0, *(ord(char) & 31 for char in head), *codes]:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ code
        for bit, term in enumerate(_GENERATOR):
            if top >> bit & 1:
                check ^= term
    return check in _CHECKS


def _payment(value: str) -> float:
    return 1.0 if base58check(value) or (value[0] == "r" and base58check(value, _RIPPLE)) else 0.0


def _rule(source: str, judge: Callable[[str], float], flags: int = 0) -> Rule:
    pattern = regex.compile(rf"(?<![^\W_]){source}(?![^\W_])", flags)
    return Rule("CRYPTO", "Wallets", Expression(rf"(?:\b|_){source}", flags, shelf="words"), finder(pattern, judge))


def rules() -> list[Rule]:
    """The rules for wallets."""
    return [
        _rule(_PAYMENT, _payment),
        _rule(_SEGWIT, lambda value: float(bech32(value)), regex.IGNORECASE),
        _rule(_ETHEREUM, lambda _: 1.0),
        _rule(_MONERO, lambda _: 1.0),
    ]
