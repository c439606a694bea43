"""Named hospitals and addresses; 「当地医院」, 「三甲医院」 and 「儿童医院」 name none."""

import re
from collections.abc import Iterator

from builders.engine.privacy.addresses import PLACE, addresses
from builders.engine.privacy.spans import HAN, Hit, any_of, letters, words

NUMBER = "[一二三四五六七八九十0-9〇零]"
NO_NAME = "的了着过去到在从是有被把让我你您他她它咱们这那哪该某本各每几多很最更不没再又也还都及或等会能可以要已就说看做请找上来带往送个家些另两所间跟和与同给对为因但并比如叫吃喝、问想需应先经查住院医附近种当某什么者后科"
PLAIN = f"(?:(?![{NO_NAME}]){HAN})"
"""A character that a name may be made of."""
KIND = (
    r"人民|中心|中医|中西医结合|中西医|中西结合|西医|儿童|妇幼保健|妇女儿童|妇幼|妇产科?|妇儿|妇科|妇女|口腔|牙科|眼科|耳鼻喉科?|五官科?|肿瘤|癌症|胸科|胸部|脑科|脑病|精神病?|精神卫生|心理|传染病|皮肤病?|皮肤科|皮防|骨科"
    r"|骨伤|肝病|肾病|胃肠病?|肛肠|男科|泌尿|生殖|不孕不育|癫痫病?|糖尿病|高血压|心血管病?|血液病|风湿病?|白癜风|结核病?|结石|康复|老年病?|职业病|职工|工人|铁路|矿务局|总|综合|附属|附|临床|医学院|医科大学?|中医药大学|中医药|中医学院|大学|学院|研究院"
    r"|红十字会?|红会|军区|陆军|海军|空军|武警|解放军|总队|部队|兵团|农垦|油田|钢铁|石油|医疗|公共卫生|疾病|急救|整形美容|整形|美容|医美|研究所|研究院|国际|中日|中美|民族|蒙医|藏医|华侨|立"
)
GENERIC = any_of(words("generic"))
NO_UNIT = (
    "社区|地区|城区|郊区|军区|病区|市区|小区|园区|校区|景区|学区|乡镇|村镇|城镇|农村|乡村|县区|县市|城市|省市|外省|治区"
)
FAMILY = f"[{letters('surnames', 'doubtful_surnames')}]"
UNIT = (
    f"(?:(?<!当)(?:(?!{PLACE})(?![好大小]){PLAIN}){{1,3}}(?:自治县|县|区|镇|乡|旗|州|市|村|街道|路|街|庄|屯|矿)(?<!{NO_UNIT})"
    f"|{FAMILY}(?:氏|家(?:庄|村|屯|沟|湾|坪|镇|桥|河|店|集|寨|营)))"
)
ORDER = f"第?{NUMBER}{{1,3}}"
TOKEN = f"(?:中$|附属{HAN}{{2,4}}$|(?!食|课|教|天|学){HAN}{{2}}堂|{PLAIN}医(?=[大附总一二三四第])|(?:{PLACE})(?:省|市|自治区|地区|州|盟|县|区)?|{UNIT}|[省市县区]|{any_of(words('hospitals'))}|{ORDER}|{KIND})"
CHAIN = re.compile(rf"{TOKEN}+$")
NAMING = re.compile(
    rf"{PLACE}|堂|{HAN}医[附总大]|{any_of(words('hospitals') - {'人民', '阳光'})}|{UNIT}|第{NUMBER}|{NUMBER}$|[省市县区](?!医?$).*[^省市县区]|解放军|武警|军区|陆军|红十字|铁路|矿务局|[0-9一二三四五六七八九零]{{3}}"
)
BRAND = re.compile(
    rf"(?:^|[^一-龥0-9A-Za-z]|[去到在从于由往送找来是叫住了过的进])(?P<brand>(?:(?!{GENERIC}|{KIND}|[{NO_NAME}大小好多半一二三四五六七八九十])[一-龥]){{2,4}})(?:{KIND}|专科)*$"
)
"""A name of two to four characters after a preposition or a stop: 「在康华医院」."""
SUFFIX = re.compile(
    r"医院|诊所|门诊部|卫生院|卫生所|卫生室|卫生服务中心|卫生服务站|保健院|保健所|医学中心|医疗中心|防治院|防治所|疗养院|体检中心|中心血站|血站|疾控中心|疾病预防控制中心|急救中心|眼科中心|肿瘤中心|血液病研究所|儿研所|附院|总院|妇产(?=[做的看建生住])|中医馆|国医馆|医馆|中医堂"
)
TAIL = re.compile(rf"(?:[(]?(?:{HAN}{{1,3}})(?:院区|分院)[)]?|[东西南北新老]院区?(?!长|子)|本部|总院|{NUMBER}部)?")
SHORT = re.compile(
    rf"(?P<base>(?:(?:{PLACE})(?:省|市)?|[省市县区]|(?:{PLACE}|[一-龥])医(?:科?大)?|中山|北医|华西|湘雅|协和|{any_of(words('hospitals') - {'人民', '第十'})})+)"
    rf"(?:大学|医学院)?(?:附属|附)?第?(?:[一二三四五六七八九十]{{1,2}}|[0-9]{{1,3}})(?:附)?院(?![长子士校])"
    r"|(?<=[去在到从])[一二三四五六七八九十]{1,2}院(?=[看查做住治开的,。 ])|(?<![一-龥])附[一二三四五](?:院)?|附属?第?[一二三四五]院"
    rf"|(?:(?:{PLACE})市?|[省市县区])(?:妇幼(?!保健|卫生)|妇保院?|儿保|儿医|中医院|(?<!区)肿瘤(?=[医看住做查的])|人医|中心医?院)(?!医院)"
)
ALIAS = re.compile(
    rf"(?:{any_of(words('hospital_aliases'))})(?<![江陕广山]西京)(?:[东西南北]院|本部)?(?!医院|路|街|市|县|镇|村)"
)
SHORT_HINT = re.compile(
    rf"[{NUMBER[1:-1]}附]附?院|附属?[一二三四五]|妇幼|妇保|儿保|儿医|中医院|肿瘤[医看住做查的]|人医|中心医?院"
)
SPOKEN = re.compile(
    rf"(?:^|[^一-龥]|[在去到从和跟找请挂与问约])(?P<hit>{any_of(words('hospitals') - {'人民', '阳光', '现代', '复兴'})})(?=的(?:号|{HAN}{{1,3}}(?:医生|医师|大夫|主任|教授|专家)|专家|医生|大夫|主任|教授))"
)
"""「华山的董医师」: a name that is also a mountain is a hospital's where doctors follow."""
CHAINED = re.compile(
    rf"(?:{any_of(words('hospitals') - {'人民', '阳光', '第十'})})(?:整形|医美|医疗美容|齿科|口腔|牙科|眼科|男科|妇科|植发|体检)(?!的?医院)"
)
"""「美莱整形」: a chain and what it does."""
VISITED = re.compile(
    rf"(?:转诊?到|[去到在找])(?P<hit>{any_of(words('hospitals') - {'人民', '阳光', '第十', '安定', '世纪坛', '东方', '现代', '复兴', '南方', '亚洲', '长城', '五官科', '肺科', '中山眼科'})})(?=[看查做拍住挂复确])"
)
"""「转诊到同仁看眼底」."""
SPOKEN_HINT = re.compile("的(?:号|.{0,3}(?:医|大夫|主任|教授|专家))")
ENGLISH = re.compile(
    r"\b(?!(?:The|A|An|Our|My|This|That|General|Local|At|In|To|From|Children's|Community|University|County|State|Main|Emergency|Teaching|Women's)\b)"
    r"[A-Z][A-Za-z'.-]+(?: (?:of|and|the|[A-Z][A-Za-z'.-]+)){0,4} (?:Hospital|Clinic|Medical Cent(?:er|re)|Infirmary|Health Cent(?:er|re))\b"
)

ENGLISH_HINT = re.compile("[A-Z][a-z]+ [A-Z]")

SENTENCE = re.compile("[一-龥A-Za-z0-9]*$")


def placed(text: str, folded: str) -> Iterator[Hit]:
    """Every named hospital and every address, overlaps included."""
    yield from (Hit("hospital", *span, text[slice(*span)]) for span in _hospitals(folded))
    yield from (Hit("address", *span, text[slice(*span)]) for span in addresses(folded))


def _hospitals(text: str) -> Iterator[tuple[int, int]]:
    for found in SUFFIX.finditer(text):
        start = _name_before(text, found.start())
        if start < found.start():
            tail = TAIL.match(text, found.end())
            yield start, tail.end() if tail else found.end()
    if SHORT_HINT.search(text):
        yield from (found.span() for found in SHORT.finditer(text))
    yield from (found.span() for found in ALIAS.finditer(text))
    yield from (found.span() for found in CHAINED.finditer(text))
    yield from (found.span("hit") for found in VISITED.finditer(text))
    if SPOKEN_HINT.search(text):
        yield from (found.span("hit") for found in SPOKEN.finditer(text))
    if ENGLISH_HINT.search(text):
        yield from (found.span() for found in ENGLISH.finditer(text))


def _name_before(text: str, end: int) -> int:
    """Where the name that ends at `end` begins; `end` itself when what stands there is no name."""
    left = SENTENCE.search(text[max(0, end - 18) : end])
    before = left[0] if left else ""
    chain = CHAIN.search(before)
    if chain and NAMING.search(chain[0]):
        return end - len(chain[0])
    brand = BRAND.search(text[max(0, end - 14) : end])
    return end - (brand.end() - brand.start("brand")) if brand else end
