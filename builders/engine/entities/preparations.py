"""How drugs are named: dosage forms that fold away, and endings that tell a drug no list has.

阿莫西林胶囊 → 阿莫西林    盐酸西替利嗪片 → 西替利嗪    西他沙星 → a drug, by its ending
"""

import re
from collections.abc import Iterator

_RELEASE = (
    "(?:缓释|控释|肠溶|分散|咀嚼|泡腾|双层|薄膜衣|糖衣|口腔崩解|口崩|干混悬|口服|外用|复方|吸入|鼻用|滴眼|注射用)"
)
_FORM = (
    "(?:胶囊剂?|软胶囊|微丸|颗粒剂?|口服液|口服溶液|口服混悬液|混悬液|干混悬剂|混悬剂|混悬滴剂|滴剂|干糖浆|糖浆|冲剂|合剂|溶液|软膏|乳膏|凝胶|眼膏|眼药水|滴眼液|滴耳液|滴鼻液|喷雾剂?|鼻喷雾剂|喷剂|气雾剂"
    "|吸入剂|粉雾剂|雾化液|注射液|注射剂|针剂|粉针|栓剂?|贴剂?|贴膏|洗剂|搽剂|酊剂?|乳剂|含片|片剂?(?!面|子|刻|段)|丸(?!子)|散剂?|水剂|擦剂|口服制剂)"
)
DOSAGE_FORM = re.compile(f"(?:(?<=他汀)钙|钠)?(?:{_RELEASE}{{0,2}}{_FORM})+")
"""After the name of a drug: not part of what it is."""
_FORM_AT_END = re.compile(f"(?<=..){_RELEASE}{{0,2}}{_FORM}$")
_SALT = re.compile(
    "^(?:注射用|复方)?(?:盐酸|硫酸|马来酸|枸橼酸|酒石酸|琥珀酸|富马酸|甲磺酸|苯磺酸|氢溴酸|磷酸|醋酸|乳酸)(?=..)"
)
ENDING = re.compile(
    "沙星|西林|霉素|环素|他汀|洛尔|普利(?!康)|沙坦|地平|拉唑|康唑|硝唑|替丁|列汀|列净|列酮|格列.|昔康|昔布|洛芬|米松|奈德|泊尼松|昔洛韦|洛韦|夫定|替尼|单抗|西汀|西泮|唑仑|巴比妥|曲坦|双胍|司琼|必利|特罗|茶碱|肝素|胰岛素|沙班|培南|唑嗪|膦酸钠?"
    "|胶囊|颗粒(?!物|状|感|细)|口服液|混悬液|糖浆|冲剂|软膏|乳膏|滴眼液|注射液|喷雾剂|栓剂|分散片|缓释片|肠溶片|含片|咀嚼片|泡腾片"
)
"""International stems, and forms that only a drug has."""
_STARTS_NAME = re.compile(r"(?!m?g$|m?l$)[一-龥a-z]{1,7}$")
_NOT_OF_A_NAME = re.compile(
    ".*(?:[的了吗呢吧是和与及或等用吃服喝给加把被有无可以您你我请让先再后前些种类该这那每次片粒天日月年次号为至到对从在于因换成改停打涂抹擦点滴买开含一二两三四五六七八九十\ue000]|口服|外用|静脉|联合|考虑|建议|推荐|比如|例如|包括|避免|继续|应用|使用|注射|选择|治疗)"
)
_FORMS_ALONE = re.compile(
    "^(?:胶囊|颗粒|口服液|混悬液|糖浆|冲剂|软膏|乳膏|滴眼液|注射液|喷雾剂|栓剂|分散片|缓释片|肠溶片|含片|咀嚼片|泡腾片)$"
)


def without_form(name: str) -> str:
    """A drug's name without its dosage form and the salt it comes as."""
    return _SALT.sub("", _FORM_AT_END.sub("", name))


def unknown_drugs(plain: str, start: int, end: int) -> Iterator[tuple[str, int, int, str]]:
    """Drugs known by their ending alone, in a stretch of folded text that holds no known word."""
    last = start
    for found in ENDING.finditer(plain, start, end):
        stem = _STARTS_NAME.search(plain, max(last, found.start() - 7), found.start())
        if not stem:
            continue
        other = _NOT_OF_A_NAME.match(stem[0])
        first = stem.start() + (other.end() if other else 0)
        form = DOSAGE_FORM.match(plain, found.end(), end)
        stop = form.end() if form else found.end()
        if found.start() - first >= (2 if _FORMS_ALONE.match(found[0]) else 1) and first >= last:
            last = stop
            yield "drug", first, stop, without_form(plain[first:stop])
