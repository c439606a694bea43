"""Croissant 1.1 metadata of a joined release: one record set per config."""

from typing import Any

from cards.croissant import CONTEXT, file_object, file_set, record_set
from cards.publication import PublicationFacts
from cards.publication_card import LIMITS, STEPS, title


def publication_croissant(
    facts: PublicationFacts, version: str, files: dict[str, dict[str, dict[str, Any]]]
) -> dict[str, Any]:
    """JSON-LD of a release. `files`: config -> name within its folder -> {"sha256", "bytes"}."""
    teachers = sorted({teacher for config in facts.configs for teacher in config.teachers})
    origins = {origin for origin, forms in facts.grid.items() if any(forms.values())}
    licenses = [license or "unknown" for license in facts.licenses]
    distribution = []
    for config, entries in files.items():
        distribution += [file_object(config, name, entry) for name, entry in entries.items()] + [file_set(config)]
    texts = {one.name: [name for name, kind in one.columns.items() if kind == "string"] for one in facts.configs}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": "+".join(files),
        "description": f"{title(facts)}. {facts.rows} rows in {len(facts.configs)} configs.",
        "version": version,
        "license": licenses[0] if len(licenses) == 1 else licenses,
        "creator": {"@type": "sc:Organization", "name": "built with suwen"},
        **({"datePublished": facts.answered_on} if facts.answered_on else {}),
        "inLanguage": "zh",
        "distribution": distribution,
        "recordSet": [record_set(config, columns) for config, columns in texts.items()],
        "prov:wasGeneratedBy": [
            f"{made.builder} {made.code_version}; ledger {made.ledger_digest}"
            for one in facts.configs
            for made in one.made
        ],
        "prov:wasAttributedTo": teachers,
        "rai:hasSyntheticData": bool(origins - {"real"}),
        "rai:dataPreprocessingProtocol": [
            f"{name}: {STEPS[step]}: {count} rows removed"
            for name, arrows in facts.arrows.items()
            for step, count in arrows.removed.items()
            if count
        ],
        "rai:dataLimitations": list(LIMITS),
        "rai:personalSensitiveInformation": [
            "Rows of origin real, rewritten and expanded go back to what patients and doctors wrote, de-identified by their builder."
            if origins - {"distilled"}
            else "None intended: no answer was written by a patient or a doctor; the sources are named in every row."
        ],
    }
