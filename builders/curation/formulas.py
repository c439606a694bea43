"""What people say out of courtesy: greetings, thanks, wishes, 「有问题随时联系」, and what the platform makes them say."""

import re
import unicodedata

LONGEST = 60
"""Characters of a clause that can be a formula."""
CLAUSE_END = re.compile(r"[，,。！!？?；;~～…\n]+|\.(?=\s|$)|[:：]\)|(?<=[一-鿿])\s+")
WORDLESS = re.compile(r"[\W_]*")
"""Punctuation, and emoji of which a site has left ？？."""

TITLE = "(?:医生|大夫|医师|主任|教授|老师|咨询师)"
ACKNOWLEDGED = "[嗯恩唔哦噢喔奥偶额呃啊呀哈呵嘻哎唉嘿好行懂就先那的了啦咯吧滴嘞哒呢哟呗哇亲我您你]|okay|ok|收到|明白|知道|了解|清楚|晓得|这样|家长朋友|宝妈|家长|朋友"
PIECES = (
    rf"(?:非常|十分|真是?|多|太|很)?(?:感谢|谢谢|谢|感激)(?:你|您|了|啦|啊|哈|哦|呀|们|(?:[一-鿿]?{TITLE}))*",
    rf"(?:麻烦|辛苦|打扰|拜托)(?:你|您|了|啦|{TITLE})+",
    "不(?:用|必|要)?(?:客气|谢)|别(?:客气|谢)|应该的|不谢",
    "再见|拜拜|晚安|回见|[8８]{2}",
    "没(?:有)?(?:什么|啥|其他|其它|别的)*(?:问题|疑问|事)?了",
    rf"(?:您|你|{TITLE}|大家|早上|上午|中午|下午|晚上)好|[嗨喂]|早安",
    "(?:请问)?(?:您|你|还|人)*(?:在|再)(?:不在|吗|么|不|嘛|的)?",
    "保重(?:身体)?|多保重|(?:身体)?健康(?:快乐)?(?:成长)?|(?:早日|尽快)(?:康复|恢复)(?:健康)?|(?:家庭|工作|学习|生活)(?:幸福|顺利|愉快|进步)",
    "稍(?:等|候)(?:一下|片刻)?|等(?:我|您|你)?(?:一下|一会儿?|下|会儿?)?|马上|看(?:到|见)",
    TITLE,
    ACKNOWLEDGED,
)
"""What courtesy is put together from, the longer before what it begins with."""

NOT_TO_A_DOCTOR = "(?!.*(?:医院|医生|专家|大夫|门诊|就诊|面诊|科|药店|药师))"
WHOLE = (
    "祝.{0,30}",
    "(?:如果|如|若|要是|以后|后期|后续)?(?:您|你)?(?:还|再|以后)?有(?:任何|什么|啥|其他|其它|别的|不懂|不清楚|不明白|疑问|疑虑|问题|需要|需求|情况|事情?|的|不适|变化)+(?:的话)?",
    NOT_TO_A_DOCTOR
    + r".{0,16}(?:随时|及时|再|欢迎|继续|有事|问题|通过|需要|可以).{0,12}(?:联系|咨询|留言|联络|找我|问我).{0,8}",
    "(?:欢迎|随时|有事)(?:再次|随时)?(?:咨询|联系|留言)(?:我)?",
    "我?(?:看到|看见)(?:您的?|你的?|留言)*(?:后|了|以后|之后|就)?.{0,8}(?:回复|回答|答复).{0,4}",
    "(?=.*(?:还|再|什么|啥|别的|其他|其它|哪|吗|么))(?:请问|那)?(?:您|你|亲)?(?:请问|关于.{0,8}?|对.{0,8}?)?(?:您|你)?(?:还|再)?有?(?:没有)?(?:什么|啥|别的|其他|其它|任何|哪些|哪里|不)*(?:问题|疑问|疑虑|想问|要问|可以帮|可以帮助|能帮|要咨询|想咨询|需要咨询|不明白|不懂|不清楚|想了解|要了解|需要帮助?).{0,8}(?:吗|么|呢|没|没有)?",
    "(?:如果|若|要是|如)(?:您|你)?没(?:有)?(?:什么|啥|其他|其它|别的|任何)*(?:问题|疑问|疑虑|事)(?:的话|了)?|没(?:有)?(?:其他|其它|别的|什么)+(?:问题|疑问|事)?(?:的话|了)?|没(?:有)?(?:问题|疑问|事)的话",
    "(?:(?:如果|如|若)?没有?(?:其他|其它|别的|什么)*(?:问题|疑问)(?:的话)?)?(?:那|我|就|先|咱们|今天|请问|可以|能)*(?:结束|关闭|关(?=了))(?:了|咨询|服务|对话框?|会话|问诊|本次|这次)*(?:吗|吧|哈|可以吗|好吗)?",
    "(?:那)?请.{0,4}关闭.{0,6}|(?:好|可以|行)(?:吗|不|么|吧)",
    "(?:如果|若)?(?:您|你)?对(?:我|本次|这次).{0,10}满意(?:的话)?",
    ".{0,12}(?:好评|五星|采纳|打赏|点赞|送心意|(?:请|记得|及时|给[与予个我]?|麻烦).{0,6}评价).{0,8}",
    "(?:首先)?很(?:高兴|荣幸|乐意).{0,16}|欢迎.{0,8}(?:咨询|平台)|(?:您|你)现在可以向我咨询了?",
    "我是(?:您|你)的.{0,8}(?:医生|医师|助手)|我是.{0,20}(?:医师|医生).{0,6}|下面由我.{0,14}|(?:同时)?也是一位.{0,6}|接下来就?开始.{0,10}",
    "为了?更好.{0,12}服务|为了?更好.{0,12}(?:帮助|解答).{0,8}|我?(?:还|再|需|需要)+(?:再)?(?:询问|咨询|了解|问).{0,18}(?:问题|信息|情况)|请?如实作答|才能更好.{0,10}情况",
    "(?:非常|十分)?感谢(?:您|你)?的?.{0,12}(?:配合|咨询|信任|提问|信息|描述|回复|理解|支持|分享|回答)",
    "(?:如果)?.{0,4}超过.{1,4}分钟.{0,10}|系统.{0,4}关闭.{0,8}|能收到.{0,4}吗|(?:点击)?首页.{0,24}|会跟你一起解决.{0,14}",
    "我(?:会|将)一直.{0,16}(?:陪伴|支持).{0,10}|(?:请)?记住|(?:你|您)并不孤单",
    "希望(?:我|以上|能|对|这|有).{0,16}(?:帮助|帮到|有用).{0,6}",
)
"""What may be the whole of a clause, after pieces of courtesy."""
ENGLISH = """all ?right|perfect|wonderful|excellent|fine|sure|yeah|got it|i see
    |thank(?:s| you)(?: so much| very much| again| for .{0,40})?|you(?:'re| are) (?:very |most )?welcome|my pleasure|no (?:problem|worries)
    |good ?bye|bye|take care|have a (?:good|nice|great|wonderful) .{0,12}|see you.{0,20}|hi|hello|hey|there
    |good (?:morning|afternoon|evening|night)(?: to you)?|nice to (?:see|meet) you.{0,8}|sounds good|that(?:'s| is) (?:great|good)(?: to hear)?
    |(?:good|glad|great) to (?:hear|know)(?: that)?|i(?:'m| am) sorry to hear (?:that|this).{0,6}|sir|miss|ma'?am|brother|doctor|guy|awesome|absolutely
    |just (?:a few|one) more.{0,24}|(?:is there |do you have )?anything else(?: (?:i|we) can .{0,20})?|(?:do you have )?any (?:other |more |further )?questions.{0,20}
    |you(?:'re| are) all set.{0,10}|i(?:'ll| will) (?:see you|be right back).{0,16}|very (?:good|well)|that works|right|let me (?:see|check|look).{0,10}
    |okay|ok|o\\.k|great|good|oh|well|and|uh|hm+|um+"""

IN_ENGLISH = "".join(line.strip() for line in ENGLISH.split("\n"))
# (?>…) takes the first piece that fits and never comes back for another: 谢谢您谢谢您… has one reading, not 2^n.
COURTESY = re.compile(
    rf"(?:\s*(?>{'|'.join(PIECES)}))*(?:{'|'.join(WHOLE)})?[呢哈哦啊呀啦的了吧]?\s*|(?:\s*(?>{IN_ENGLISH})\b[\s,'-]*)+"
)
"""Matched against whole clauses."""


def fold(text: str) -> str:
    """As rules compare it: half width, lower case."""
    return unicodedata.normalize("NFKC", text).lower().replace("’", "'")


def clauses(text: str) -> list[str]:
    """The folded text between its commas and stops; what has no word in it is left out."""
    return [clause.strip() for clause in CLAUSE_END.split(fold(text)) if not WORDLESS.fullmatch(clause)]


def is_courtesy(clause: str) -> bool:
    """Whether a folded clause says nothing but a formula."""
    return len(clause) <= LONGEST and COURTESY.fullmatch(clause.strip(" -—'\"“”()")) is not None


def substance(text: str) -> str:
    """What a text says besides courtesy, its clauses joined by ，; empty when it is courtesy alone."""
    return "，".join(clause for clause in clauses(text) if not is_courtesy(clause))
