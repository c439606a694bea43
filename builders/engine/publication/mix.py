"""How many rows of each config a publication takes, and which: those whose key's hash comes first.

mix_of("huatuo/100")["polished_qa"]          # 698: 69,768 / 100, half up
mix_of("distilled_instructions=6000,real_dialogues=2500")
"""

import hashlib
import re
from collections.abc import Iterable, Mapping

HUATUO = {
    "distilled_instructions": 61_400,
    "polished_qa": 69_768,
    "simulated_dialogues": 68_888,
    "real_dialogues": 25_986,
}
"""Rows of HuatuoGPT's published training set, 226,042 in all (FreedomIntelligence/HuatuoGPT-sft-data-v1)."""


def mix_of(text: str | None) -> Mapping[str, int]:
    """Config -> rows, from CONFIG=ROWS,… or huatuo or huatuo/N; raises ValueError for anything else."""
    if text is None:
        return {}
    if preset := re.fullmatch(r"huatuo(?:/([1-9]\d*))?", text):
        return _scaled(int(preset[1] or 1), text)
    mix: dict[str, int] = {}
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\w[\w.-]*)=([1-9]\d*)\s*", part)
        if not found:
            raise ValueError(f"expected huatuo, huatuo/N or CONFIG=ROWS,…, got {part!r}")
        if found[1] in mix:
            raise ValueError(f"{found[1]} is named twice")
        mix[found[1]] = int(found[2])
    return mix


def _scaled(divisor: int, text: str) -> dict[str, int]:
    mix = {config: (2 * rows + divisor) // (2 * divisor) for config, rows in HUATUO.items()}
    if none := [config for config, rows in mix.items() if not rows]:
        raise ValueError(f"{text} leaves no row of {none[0]}")
    return mix


def drawn(names: Iterable[str], rows: int, seed: int) -> list[int]:
    """Places of the `rows` names, or all if there are fewer, whose SHA-256 with the seed comes first; ascending."""
    hashed = sorted((hashlib.sha256(f"{seed}\n{name}".encode()).digest(), place) for place, name in enumerate(names))
    return sorted(place for _, place in hashed[:rows])
