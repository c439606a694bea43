"""What a clause asks, supposes or allows, by its little words; entities are hidden in it."""

import re

ASKED = re.compile("是否|有没有|有无|能否|可否|[吗么]$|左.{0,4}还是.{0,3}右|右.{0,4}还是.{0,3}左")
"""Marks of a question."""
SUPPOSED = re.compile("如果|若(?!干)|假如|假若|倘若|假使|要是|万一|一旦|只要|除非")
LASTING = re.compile("[天周月年时期].{0,3}(?:不|没有?|未)(?:见|能|有)?(?:好转?|行|退|消|来|缓解|改善|降|通|愈合?|效)")
"""三个月不好再松解: what has not happened by then."""
THEN = re.compile(
    "则|(?<=[不没].)会|就|便(?![秘血])|才|再(?!次)|也不?(?=[能可要需必])|的话|(?:时|时候|后|以后|之后|期间)$"
)
"""Where what is supposed ends: 没怀的话, 不缺就别补."""
BARE = re.compile("不(?![要能可宜必用建应需])|[没未]|无(?![需须])")
"""Denials that can suppose something without 如果."""
OPENS = re.compile("(?:请您?|建议您?|应该?|需要?|仍)$")
"""Belongs to the 不要 after it."""
ALLOWED = re.compile("可以|可(?=[用服食饮吃])|(?<![不才])能|需要|(?<![不只])要|建议|应|允许|必须|仍|照常|请")


def asks(masked: str, start: int, end: int) -> bool:
    """A clause that is a question, or names both possibilities: 有没有发烧, 左边还是右边."""
    return masked[end : end + 1] in {"?", "？"} or ASKED.search(masked[start:end]) is not None


def supposed(clause: str) -> tuple[int, int]:
    """The stretch of a clause that only supposes: 没怀 of 没怀的话; empty where none does."""
    if lasting := LASTING.search(clause):
        return 0, lasting.end()
    begun, then = SUPPOSED.search(clause), THEN.search(clause)
    if begun and (not then or then.start() < begun.end()):
        then = THEN.search(clause, begun.end())
        return 0, then.start() if then else len(clause)
    if then and (begun or BARE.search(clause, 0, then.start()) or then.end() == len(clause)):
        return 0, then.start()
    return 0, 0


def allows(clause: str) -> bool:
    """It recommends or permits something."""
    return ALLOWED.search(OPENS.sub("", clause)) is not None
