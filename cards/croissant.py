"""Croissant 1.1 metadata with its responsible-AI fields (MLCommons): what a data set holds, for machines."""

from typing import Any

from cards.facts import SAID, DatasetFacts
from cards.words import limits_of, title

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(facts: DatasetFacts, version: str, files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """JSON-LD of one config. `files`: name within the config's folder -> {"sha256", "bytes"}."""
    build = facts.build
    texts = [lengths.column for lengths in facts.lengths if lengths.column not in SAID]  # these are no text
    columns = ["id", "key", *texts, *facts.shares]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": build.config,
        "description": f"{title(facts)}. {facts.rows} rows made by {build.builder}.",
        "version": version,
        "license": build.license or "unknown",
        "url": f"https://huggingface.co/datasets/{build.config}",
        "creator": {"@type": "sc:Organization", "name": "built with suwen"},
        **({"datePublished": build.answered_on} if build.answered_on else {}),
        "inLanguage": "zh",
        "distribution": [*(file_object(build.config, name, files[name]) for name in files), file_set(build.config)],
        "recordSet": [record_set(build.config, columns)],
        "prov:wasGeneratedBy": f"{build.builder} {build.code_version}; ledger {build.ledger_digest}",
        "prov:wasAttributedTo": list(build.teachers),
        "rai:hasSyntheticData": bool(facts.origins.keys() - {"real"}),
        "rai:dataCollection": collected_from(facts),
        "rai:dataCollectionType": ["Synthetic data"] * bool(build.calls)
        + ["Secondary Data Analysis"] * facts.from_people,
        "rai:dataPreprocessingProtocol": [
            f"{reason}: {count} rows rejected" for reason, count in build.rejected.items()
        ],
        "rai:dataLimitations": list(limits_of(facts)),
        "rai:personalSensitiveInformation": [PEOPLE if facts.from_people else NO_PEOPLE],
    }


PEOPLE = (
    "Goes back to what patients and doctors wrote; names, numbers, places and dates were masked before anything else."
)
NO_PEOPLE = "None intended: no patient record is an input of this build."


def collected_from(facts: DatasetFacts) -> str:
    """Where the words come from, in a sentence."""
    sources = ", ".join(facts.sources)
    if not facts.build.calls:
        return f"Converted from {sources}; no language model was asked."
    writers = ", ".join(facts.build.teachers)
    material = f"real rows of {sources}" if facts.from_people else "prompts and human seeds"
    return f"Written by a language model ({writers}) from {material}."


def file_object(config: str, name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """One data file, by its name within the config's folder."""
    return {
        "@type": "cr:FileObject",
        "@id": f"{config}/{name}",
        "name": f"{config}/{name}",
        "contentUrl": f"{config}/{name}",
        "encodingFormat": "application/x-parquet",
        "contentSize": f"{entry['bytes']} B",
        "sha256": entry["sha256"],
    }


def file_set(config: str) -> dict[str, Any]:
    """All data files of a config."""
    return {
        "@type": "cr:FileSet",
        "@id": f"{config}_files",
        "name": f"{config}_files",
        "encodingFormat": "application/x-parquet",
        "includes": f"{config}/*.parquet",
    }


def record_set(config: str, columns: list[str]) -> dict[str, Any]:
    """One record set of these columns, all of them text, over the files of every split."""
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{config}_rows/{column}",
            "name": f"{config}_rows/{column}",
            "dataType": "sc:Text",
            "source": {"fileSet": {"@id": f"{config}_files"}, "extract": {"column": column}},
        }
        for column in columns
    ]
    return {"@type": "cr:RecordSet", "@id": f"{config}_rows", "name": f"{config}_rows", "field": fields}
