"""Publish a trained model: one commit with everything, compared with the folder, then one tag.

    main   A ── B               B = Model run-1f0c2a9b, on top of what main holds when the push begins
                └ run-1f0c2a9b  the first 8 digits of the training's fingerprint; it is set once and never moves

Killed in between, the next push finds the commit, compares it, tags it and goes on. A model that learnt from rehearsal
rows or from rows without a licence stays here, and so do checkpoints, optimizer states and every pickle.
"""

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from builders.engine.folder import CARD, replace_files
from builders.engine.hub import Moved
from builders.engine.push import check_visibility
from schemas.settings import InputError
from trainers.engine.hub.model_files import PICKLE, PUSHED, Model, publishable
from trainers.engine.hub.model_repo import ModelHead, ModelRepo
from trainers.engine.hub.model_words import card_to_push, said
from trainers.engine.run import TRAINING

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

NO_MODEL = frozenset([CARD, TRAINING, "curves.svg"])
"""Files that `from_pretrained` does not load."""


class Place(NamedTuple):
    """Where a model goes on the Hub."""

    repo: ModelRepo
    private: bool
    """Whether only its owners see it there."""


class Pushed(NamedTuple):
    """Where a model is now."""

    repo: str
    commit: str
    tag: str | None
    made: bool = True
    """False when it was there already."""


def place_for_model(name: str | None, *, public: bool) -> Place | None:
    """What --push names, if anything; raises InputError when it may not be written to. Nothing is made there yet."""
    if not name:
        return None
    repo = ModelRepo(name)
    head = repo.head()
    repo.check_right_to_write(head)
    if head:
        check_visibility(repo, head, public=public)
    private = head.private if head else not public
    print(f"the model will be pushed to {repo.url} ({'private' if private else 'public'})", file=sys.stderr)
    return Place(repo, private)


def push_model(folder: Path, place: Place, *, public: bool) -> Pushed:
    """Publish the model in a folder; raises InputError or Unavailable, with nothing half done.

    Main is read again here: days may lie between `place` and the end of a training, and words that people wrote into
    the card meanwhile are kept.
    """
    model, repo = publishable(folder), place.repo
    head = repo.head() or _made(repo, private=not public)
    check_visibility(repo, head, public=public)
    head = _with_its_tag(repo, head)
    if model.training.tag in head.tags:
        return _there_already(model, repo, head)
    _refuse_strangers(repo, head)
    return _committed(model, repo, head)


def _made(repo: ModelRepo, *, private: bool) -> ModelHead:
    repo.create(private=private)
    head = repo.head()
    if head is None:
        raise InputError(f"--push {repo.name}: this token may not see the repository")
    return head


def _with_its_tag(repo: ModelRepo, head: ModelHead) -> ModelHead:
    """Tag a model whose push was cut short behind its commit."""
    training = head.training
    if training is None or training.tag in head.tags:
        return head
    commit = repo.commit_of(TRAINING)
    if wrong := _differing(repo, training.hashes, commit):
        print(f"{training.tag} on the Hub stays without a tag: {wrong[0]} is not the file it names", file=sys.stderr)
        return head
    repo.tag(training.tag, commit)
    print(f"{training.tag} had no tag on the Hub; it has now", file=sys.stderr)
    return head._replace(tags={**head.tags, training.tag: commit})


def _refuse_strangers(repo: ModelRepo, head: ModelHead) -> None:
    """Weights and settings that no push of ours named would be overwritten, or loaded in place of ours."""
    known = NO_MODEL | (set(head.training.files) if head.training else set())
    strange = sorted(name for name in head.names - known if PUSHED.fullmatch(name) or PICKLE.fullmatch(name))
    if strange:
        raise InputError(
            f"--push {repo.name}: holds {strange[0]}, which no trainer of ours put there; name another repository, or "
            "delete it there"
        )


def _committed(model: Model, repo: ModelRepo, head: ModelHead) -> Pushed:
    """One commit on top of main, compared and tagged."""
    tag, card = model.training.tag, card_to_push(model, repo, head)
    written = {CARD: card, TRAINING: model.told_with(card)}
    added, deleted = _operations(model, written, head)
    try:
        commit, _ = repo.commit(added, deleted, title=f"Model {tag}", parent=head.commit, pr=False)
    except Moved:  # perhaps by this very commit, whose answer was lost
        now = repo.head()
        if now is None or now.training is None or not now.training.same_model(model.training):
            raise
        return _there_already(model, repo, _with_its_tag(repo, now))._replace(made=True)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in written.items()}
    _compare(repo, {**model.training.hashes, **sums}, commit)
    repo.tag(tag, commit)
    replace_files(model.folder, written)
    return Pushed(repo.name, commit, tag)


def _operations(
    model: Model, written: Mapping[str, bytes], head: ModelHead
) -> "tuple[list[CommitOperationAdd], list[CommitOperationDelete]]":
    """What goes up, and what the model before had and this one has not."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    sent: dict[str, bytes | Path] = {name: model.folder / name for name in model.training.hashes}
    sent |= written
    old = set(head.training.files) if head.training else set()
    added = [CommitOperationAdd(name, content) for name, content in sent.items()]
    return added, [CommitOperationDelete(name) for name in sorted((old & head.names) - set(sent))]


def _there_already(model: Model, repo: ModelRepo, head: ModelHead) -> Pushed:
    """The tag is taken: by this very model, or by another one of the same run."""
    tag, there = model.training.tag, repo.training(model.training.tag)
    if there is None or not there.same_model(model.training):
        raise InputError(
            f"--push {repo.name}: {tag} is there with other files: the same data and settings gave another model; a tag "
            "never moves, so name another repository, or delete that tag there"
        )
    _compare(repo, there.hashes, tag)
    print(f"{tag} was there already", file=sys.stderr)
    if head.tag == tag:
        _same_card(model, repo, head)
    else:
        print(f"{repo.url} has gone on to {head.tag}; main stays as it is", file=sys.stderr)
    return Pushed(repo.name, head.tags[tag], tag, made=False)


def _same_card(model: Model, repo: ModelRepo, head: ModelHead) -> None:
    """Words that people wrote since go up, or come down; the tag stays where it is."""
    from huggingface_hub import CommitOperationAdd

    card = card_to_push(model, repo, head)
    if head.card is not None and said(card.decode()) == said(head.card):
        card = head.card.encode()
    else:
        added = [CommitOperationAdd(CARD, card), CommitOperationAdd(TRAINING, model.told_with(card))]
        repo.commit(added, [], title=f"Card of {model.training.tag}", parent=head.commit, pr=False)
        print(f"what people wrote into {model.folder / CARD} went up; the model is as it was", file=sys.stderr)
    replace_files(model.folder, {CARD: card, TRAINING: model.told_with(card)})


def _compare(repo: ModelRepo, named: Mapping[str, str], revision: str) -> None:
    if wrong := _differing(repo, named, revision):
        raise InputError(f"--push {repo.name}: at {revision}, {wrong[0]} is not the file that {TRAINING} names")


def _differing(repo: ModelRepo, named: Mapping[str, str], revision: str) -> list[str]:
    """Files that are gone at a revision, or have another SHA-256."""
    found = repo.hashes(named, revision)
    return [name for name, digest in named.items() if found[name] != digest]
