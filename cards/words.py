"""The sentences that every description of a data set shares."""

from cards.facts import DatasetFacts

INTENDED_USE = (
    "Supervised fine-tuning and preference research on medical language models, and study of how such data is made.",
    "Not for diagnosis, treatment or triage of anybody, and not as a source of medical facts.",
)
WRITTEN = (
    "The answers were written by a language model and were not checked by a physician; some will be wrong or unsafe."
)
REWRITTEN = (
    "The answers were reworded by a language model. A guard compared diseases, drugs, doses, tests, sides and negations with the "
    "doctor's words by rules; what its rules do not know can have changed. No physician checked them."
)
SPOKEN = "The answers are what doctors wrote online; they saw no patient, and nobody checked them again."
DATED = "Doses, indications and guidelines may be out of date or invented; models trained on this repeat them."
ASKED_BY_SETTINGS = (
    "What is asked follows the settings of the build, not what patients really ask; rare diseases are thin."
)
PRIVATE = "Names, numbers, places and dates were masked by rules; some will have been missed. Report what you find, and do not try to name anybody."
CHINESE = "Mostly simplified Chinese and the Chinese health system; do not assume that it transfers."


def title(facts: DatasetFacts) -> str:
    """The name of the data set as a person would say it."""
    return facts.build.config.replace("_", " ").capitalize()


def limits_of(facts: DatasetFacts) -> tuple[str, ...]:
    """What a reader must know before using the rows, by who wrote them."""
    origins = facts.origins.keys()
    said = [
        (WRITTEN, bool(origins & {"distilled", "expanded"})),
        (REWRITTEN, bool(origins & {"rewritten", "expanded"})),
        (SPOKEN, "real" in origins and facts.build.config == "real_dialogues"),
        (DATED, True),
        (ASKED_BY_SETTINGS, not facts.from_people),
        (PRIVATE, facts.from_people),
        (CHINESE, True),
    ]
    return tuple(limit for limit, holds in said if holds)
