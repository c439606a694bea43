"""Names without a surname or without a given name: 小李, 阿强, 妞妞, 王叔, 我妹丽娟, 网名海边的风铃."""

import re
from collections.abc import Iterator

from builders.engine.privacy.lexicon import covered, word_at
from builders.engine.privacy.scores import AFTER, BEFORE, DOUBLE, OPENS, RELATED, STOPS, is_role, right
from builders.engine.privacy.spans import HAN, any_of, letters, words

ENDS = "[" + re.escape("".join(sorted(STOPS))) + "]|$"
OLD_OR_YOUNG = re.compile(
    rf"(?P<hit>[老小](?:{any_of(DOUBLE)}|[{letters('surnames')}]))(?![一-龥]?[氏姓])"
    r"|(?P<called>阿[强珍芳明华英玲杰伟玉梅花香兰红军勇文宝辉龙福贵霞芬娟丽美云凤娇燕秀良忠坤荣国海民峰彬超鹏飞亮刚萍琴])"
)
CLOSE = re.compile(
    rf"(?P<hit>[{letters('surnames', 'doubtful_surnames')}])(?:[姐哥姨婶嫂]|叔(?!丁)|伯(?![胺醇氨])|总(?![是胆蛋量数分计体共之算有感觉会想能爱说的在把让要和不之督部店院站统会局热]|工|雌|睾|抗|铁|肌|脂|产|酚|黄|皂|甘|氮|碱|酸)|工(?![作人程具业伤地厂资艺序会期种友龄科商学夫农兵整笔单头棚匠况时段件钱装效本读党部委信行潮余休间亡]))"
    r"(?![弟妹夫公婆])"
)
PET_CUE = re.compile(
    rf"(?:小名|乳名|(?:大宝|二宝|老大|老二|老三|小孩|孩子|宝宝|女儿|儿子|闺女|孙子|孙女|外孙|娃|宝贝|大娃|二娃)(?:的?名字|小名)?叫)(?:叫做?|是|为|:)?[ “\"]?"
    rf"(?P<hit>(?!什|他|她|我|你|医|声|做|不|得|了|起|唤|醒|救|家|爸|妈|喊|名|小名|大名|自称|昵称){HAN}{{2}}(?:{HAN}(?={ENDS}))?)(?={ENDS}|[{''.join(sorted(AFTER))}]|今|[0-9一二三四五六七八九十两半]+个?[岁月]|[拉哭闹总])"
)
SCREEN_NAME = re.compile(
    r"(?:网名|昵称|用户名|网友名|ID名)(?:叫做?|是|为)?[ ]?[:“\"「【(]{0,2}(?P<hit>[^,。!?;:”\"」】)\n\0 ]{2,12})"
    r"|(?<![一-龥])(?:用户|网友|会员)[ :“\"「]{0,2}(?P<asks>[^,。!?;:”\"」\n\0 ]{2,10}?)[”\"」 ]?(?=提问|咨询|问:|留言|追问|评论)"
)
PETS = any_of(words("pet_names"))
PET = rf"(?P<hit>{PETS})(?=[,。!?:; ]|$|妈|爸|拉|[0-9]|[一二三四五六七八九十两半]+[岁个周天]|体|黄|早|感|同学|小朋友|[{''.join(sorted(AFTER))}])"
AGE = "[0-9]|[一二三四五六七八九十两半]+个?半?[岁月]"
TWICE = (
    "(?P<twice>(?![常慢渐刚往偏仅明好早多频时年月日家大长久轻断连默匆白天妈爸爷奶哥姐弟妹叔舅姑公婆宝星])"
    rf"(?P<one>[{letters('given_often', 'given')}点丫豆糖包蛋泡球嘟咪])(?P=one)(?!(?P<next>{HAN})(?P=next)))"
)
"""桃桃, but neither 慢慢 nor 反反复复."""
LITTLE = (
    "(?P<little>小(?![孩朋时便腿伙子儿女姑妹弟名腹心学区狗猫米手脚脸屁鸡嘴声月宝睾个肚牙阴兄姐哥姨叔舅婶孙侄])"
    rf"{HAN}{{1,2}}?)(?=[,。今昨前现晚最]|{AGE})"
)
HOME = (
    "(?:的|有个)?(?P<home>(?!宝|孩|儿|女|小[孩朋]|老[大二三人公婆]|大[宝的]|二[宝胎]|三宝|[爸妈哥姐弟妹爷奶公婆叔姑舅姨]|现|已|刚|今|差|大概|出生|[男双龙]|早|[这那个住在有离也都是])"
    rf"(?:(?![今快才刚满]){HAN}){{2}})(?=今年|快|才|刚|{AGE})"
)
AT_HOME = re.compile(
    "(?=[我咱家宝患孩女儿闺孙外小妹弟侄])(?:家里的?|家有|宝宝|患儿|孩子|女儿|儿子|闺女|孙子|孙女|外孙女?|宝贝|小孩|妹妹|弟弟|侄女|外甥女?"
    rf"|(?P<family>(?:我|我们|咱|咱们)家的?))[ ]?(?:{PET}|{TWICE}|{LITTLE}|(?(family){HOME}|(?!)))"
)
ALONE = re.compile(
    rf"(?:(?<![大喊哭])叫做?|(?<![一-龥])){PET}"
    rf"|(?<![一-龥])(?P<child>(?!宝宝|孩子|小孩|这位|那位|各位|新手|患儿|请问|医生|谢谢|感谢|可怜|年轻|全职|我的|当了){HAN}{{2}})(?:妈妈|爸爸|麻麻|妈咪|粑粑)(?=:|回复|提问|你好|您好)"
)
ONLY_GIVEN = frozenset(letters("given_only"))
A_GIVEN = f"[{letters('given_only')}]"
OFTEN_GIVEN = letters("given_often") + "远"
KIN = re.compile(
    rf"(?<=[蜜伴友哥姐弟妹妈爸爷奶儿女夫妻公婆孙人舅姑姨叔嫂侄甥媳])(?P<hit>{A_GIVEN}{{2}}|[{OFTEN_GIVEN}美小文长永]{{2}})(?!{A_GIVEN})"
)
"""Somebody's given name, right after who it is: 我妹丽娟, 老伴桂兰."""
PARENT = re.compile(
    rf"(?:(?<=[让找和跟叫给请帮问陪,。!?;: ])|^)(?P<hit>[{letters('given_only', 'given_often')}]{{2}})(?=[他她](?:爸|妈|爹|娘|奶|爷|哥|姐|弟|妹|媳))"
)
"""「志强他爸」."""


TAKES = BEFORE | frozenset(RELATED)
"""Characters that a name comes after: 和, 找, and the last ones of what people are."""
ENTRY = re.compile("(?:的|天|[昨今]晚|上次|谢谢|感谢|请问|[你您]好)$")
"""Words that a name comes after, where it does not open a clause."""


def nicknamed(text: str) -> Iterator[tuple[int, int]]:
    """Every name that is not whole."""
    for found in OLD_OR_YOUNG.finditer(text):
        if called(text, *found.span(found.lastgroup or 0)):
            yield found.span()
    for found in CLOSE.finditer(text):
        if bounded(text, found.start()) and not covered(text, found.start()) and not word_at(text, found.start()):
            yield found.span("hit")
    for pattern in (PET_CUE, SCREEN_NAME, AT_HOME, ALONE):
        for found in pattern.finditer(text):
            group = next(name for name in found.re.groupindex if name not in ("one", "next", "family") and found[name])
            yield found.span(group)
    for found in KIN.finditer(text):
        if related(text, *found.span("hit")):
            yield found.span("hit")
    yield from (found.span("hit") for found in PARENT.finditer(text) if not word_at(text, found.start("hit")))


def related(text: str, start: int, end: int) -> bool:
    """Whether two given characters after who it is are a name: no word, and beside a word that goes on, names only."""
    if not is_role(text[max(0, start - 5) : start]) or word_at(text, start) or word_at(text, end - 1):
        return False
    return right(text, end) >= (0.5 if set(text[start:end]) - ONLY_GIVEN else -1)


def called(text: str, start: int, end: int) -> bool:
    """Whether 小李 is somebody: where a word could begin, and neither 小范围 nor 阿胶."""
    if covered(text, start) or word_at(text, start) or word_at(text, start + 1):
        return False
    return bounded(text, start) and (right(text, end) > -1 or start == 0 or text[start - 1] in TAKES)


def bounded(text: str, start: int) -> bool:
    """Whether a name could begin there: after a stop, after what takes a name, after who or when."""
    if start == 0 or not re.match(HAN, text[start - 1]):
        return True
    before = text[max(0, start - 6) : start]
    return before[-1] in TAKES or before[-1] in OPENS or is_role(before) or ENTRY.search(before) is not None
