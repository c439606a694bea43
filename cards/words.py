"""The sentences that every description of a data set shares."""

from cards.facts import DatasetFacts

INTENDED_USE = (
    "Supervised fine-tuning and preference research on medical language models, and study of how such data is made.",
    "Not for diagnosis, treatment or triage of anybody, and not as a source of medical facts.",
)
LIMITS = (
    "The answers were written by a language model and were not checked by a physician; some will be wrong or unsafe.",
    "Doses, indications and guidelines may be out of date or invented; models trained on this repeat them.",
    "What is asked follows the settings of the build, not what patients really ask; rare diseases are thin.",
    "Mostly simplified Chinese and the Chinese health system; do not assume that it transfers.",
)


def title(facts: DatasetFacts) -> str:
    """The name of the data set as a person would say it."""
    return facts.build.config.replace("_", " ").capitalize()
