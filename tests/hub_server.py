"""A Hugging Face Hub on loopback: the unmodified `huggingface_hub`, `datasets` and `transformers` clients work against it.

    with running_hub() as hub:
        subprocess.run([sys.executable, "-c", script], env={**os.environ, **client_env(hub, home)})
        assert hub.repos["org/name"].files("v1.0.0")["README.md"] == b"…"    # a data set; hub.models has the models

It keeps repositories in memory (`hub_repos`), remembers every request, and breaks when told to (`hub_faults`). Large files
lie on a second port, as the real ones lie on another host: it wants no token there, and refuses one.
"""

import asyncio
import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import hub_answers
from aiohttp import web
from hub_faults import Fault, broken
from hub_repos import TOKENS, Blob, Kind, Refused, Repo, User, allowed, edited, in_lfs, listing

REPO = "/api/{kind:datasets|models}/{owner}/{name}"
GIT = "/{kind:(?:datasets/)?}{owner}/{name}"
LFS = "/lfs/{kind:datasets|models}/{owner}/{name}/{oid}"
MOST_PATHS = 1000


class Hub:
    """The server and everything a test may look at or turn."""

    def __init__(self) -> None:
        self.url = self.cdn = ""
        self.repos: dict[str, Repo] = {}
        """Data sets, by name."""
        self.models: dict[str, Repo] = {}
        self.requests: list[tuple[str, str]] = []
        """(method, decoded path) of every request, in order."""
        self.bodies: list[bytes] = []
        """What each of them carried."""
        self.faults: list[Fault] = []
        self.card_errors: list[str] = []
        """What `validate-yaml` finds wrong with any README; it refuses while this is not empty."""
        self.card_warnings: list[str] = []

    def commit(
        self, repo: str, changes: Mapping[str, bytes], title: str, delete: Sequence[str] = (), *, kind: Kind = "dataset"
    ) -> str:
        """Somebody edits `main` in the web editor; the new commit's oid."""
        shelf = self._shelf(kind)
        tree = shelf[repo].at("main").tree
        kept = {path: blob for path, blob in tree.items() if path not in delete}
        added = {path: Blob(content, in_lfs(tree, path, len(content))) for path, content in changes.items()}
        return shelf[repo].grow("main", kept | added, title).oid

    def merge(self, repo: str, number: int) -> str:
        """Somebody presses "Merge" on a pull request; the new commit's oid."""
        return self.repos[repo].merge(number).oid

    async def __aenter__(self) -> "Hub":
        app = web.Application(client_max_size=2**30, middlewares=[self._door])
        app.add_routes(self._routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        for _ in ("url", "cdn"):
            await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url, self.cdn = (f"http://127.0.0.1:{port}" for _, port in self._runner.addresses)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/whoami-v2", self._whoami),
            web.post("/api/validate-yaml", self._validate_card),
            web.post("/api/repos/create", self._create),
            web.get(REPO, self._info),
            web.get(REPO + "/revision/{revision}", self._info),
            web.get(REPO + "/auth-check{write:(/write)?}", self._auth_check),
            web.get(REPO + "/refs", self._refs),
            web.get(REPO + "/commits/{revision}", self._commits),
            web.get(REPO + "/discussions", self._discussions),
            web.get(REPO + "/tree/{revision}", self._tree),
            web.get(REPO + "/tree/{revision}/{path:.+}", self._tree),
            web.post(REPO + "/paths-info/{revision}", self._paths_info),
            web.post(REPO + "/preupload/{revision}", self._preupload),
            web.post(REPO + "/commit/{revision}", self._commit),
            web.post(REPO + "/tag/{revision}", self._tag),
            web.delete(REPO + "/tag/{revision}", self._untag),
            web.post(GIT + ".git/info/lfs/objects/batch", self._lfs_batch),
            web.post(GIT + ".git/info/lfs/objects/verify", self._lfs_verify),
            web.get(GIT + "/resolve/{revision}/{path:.+}", self._resolve),
            web.put(LFS, self._lfs_put),
            web.get(LFS, self._lfs_get),
        ]

    @web.middleware
    async def _door(self, request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        self.bodies.append(await request.read())
        fault = next((fault for fault in self.faults if fault.strikes(request)), None)
        action = fault.action if fault else None
        if isinstance(action, int):
            return broken(action)
        if callable(action):
            action()
        if fault and action == "slow":
            await asyncio.sleep(fault.seconds)
        try:
            answer = web.Response() if action == "cut" else await handler(request)
        except Refused as no:
            headers = {"X-Error-Message": no.words, **({"X-Error-Code": no.code} if no.code else {}), **no.headers}
            answer = web.json_response({"error": no.words}, status=no.status, headers=headers)
        if action in ("cut", "lost") and request.transport:
            request.transport.close()
        return answer

    def _shelf(self, kind: Kind) -> dict[str, Repo]:
        return self.models if kind == "model" else self.repos

    def _shelf_of(self, request: web.Request) -> dict[str, Repo]:
        return self._shelf("dataset" if request.match_info["kind"].startswith("datasets") else "model")

    def _user(self, request: web.Request) -> User | None:
        """Who asks; None is nobody in particular."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in TOKENS:
            raise Refused(401, "Invalid credentials in Authorization header")
        return TOKENS.get(token)

    def _repo(self, request: web.Request, *, write: bool = False, pull: bool = False) -> Repo:
        return allowed(self._shelf_of(request).get(name_of(request)), self._user(request), write=write, pull=pull)

    async def _whoami(self, request: web.Request) -> web.Response:
        user = self._user(request)
        if user is None:
            raise Refused(401, "Invalid username or password.")
        token = {"type": "access_token", "accessToken": {"displayName": "test", "role": user.role}}
        return web.json_response({"type": "user", "name": user.name, "orgs": [], "auth": token})

    async def _validate_card(self, request: web.Request) -> web.Response:
        self._user(request)
        found = {"errors": self.card_errors, "warnings": self.card_warnings}
        said = {kind: [{"message": words} for words in messages] for kind, messages in found.items()}
        return web.json_response(said, status=400 if self.card_errors else 200)

    async def _create(self, request: web.Request) -> web.Response:
        user, wanted = self._user(request), await request.json()
        if user is None:
            raise Refused(401, "Invalid username or password.")
        owner, kind = wanted.get("organization") or user.name, wanted.get("type", "model")
        name = f"{owner}/{wanted['name']}"
        if user.role != "write" or not user.owns(name):
            raise Refused(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}"')
        made = Repo(name, private=wanted.get("visibility") == "private", kind=kind)
        said = {"url": f"{self.url}/{made.path}", "name": name}
        if name in self._shelf(kind):
            return web.json_response({"error": f"You already created this {kind} repo", **said}, status=409)
        self._shelf(kind)[name] = made
        return web.json_response(said)

    async def _info(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        commit = repo.at(request.match_info.get("revision", "main"))
        known = hub_answers.info(repo, commit, blobs="blobs" in request.query)
        wanted = ["id", *request.query.getall("expand", list(known))]
        return web.json_response({key: known.get(key) for key in wanted})

    async def _auth_check(self, request: web.Request) -> web.Response:
        self._repo(request, write=bool(request.match_info["write"]))
        return web.json_response({})

    async def _refs(self, request: web.Request) -> web.Response:
        return web.json_response(hub_answers.refs(self._repo(request)))

    async def _commits(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        line = repo.history(repo.at(request.match_info["revision"]))
        return web.json_response([hub_answers.commit_line(commit) for commit in line])

    async def _discussions(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        status, author, kind = (request.query.get(key) for key in ("status", "author", "type"))
        shown = [
            hub_answers.discussion(repo, pull)
            for pull in reversed(repo.pulls)
            if kind != "discussion" and author in (None, pull.author)
            if status in (None, "all", "open" if pull.status == "open" else "closed")
        ]
        return web.json_response({"discussions": shown, "count": len(shown), "start": 0})

    async def _tree(self, request: web.Request) -> web.Response:
        repo = self._repo(request)
        commit = repo.at(request.match_info["revision"])
        recursive, expand = (request.query.get(key) == "true" for key in ("recursive", "expand"))
        found = listing(commit.tree, request.match_info.get("path", ""), recursive=recursive)
        return web.json_response([hub_answers.entry(repo, commit, path, expand=expand) for path in found])

    async def _paths_info(self, request: web.Request) -> web.Response:
        repo, form = self._repo(request), parse_qs(await request.text())
        commit, paths = repo.at(request.match_info["revision"]), form["paths"]
        if len(paths) > MOST_PATHS:
            raise Refused(413, "too many parameters")
        known, expand = {*listing(commit.tree, "", recursive=True)}, form.get("expand") == ["true"]
        found = [path for path in paths if path in known]
        return web.json_response([hub_answers.entry(repo, commit, path, expand=expand) for path in found])

    async def _preupload(self, request: web.Request) -> web.Response:
        repo, wanted = self._repo(request, write=True, pull="create_pr" in request.query), await request.json()
        tree = repo.at(request.match_info["revision"]).tree
        modes = [hub_answers.upload_mode(tree, file, wanted.get("gitIgnore")) for file in wanted["files"]]
        return web.json_response({"files": modes})

    async def _commit(self, request: web.Request) -> web.Response:
        pull = "create_pr" in request.query
        repo, user = self._repo(request, write=True, pull=pull), self._user(request)
        header, *edits = (json.loads(line) for line in (await request.text()).splitlines())
        title, parent = header["value"]["summary"], header["value"].get("parentCommit")
        branch, author = request.match_info["revision"], user.name if user else ""
        if branch not in repo.branches:
            raise Refused(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        if parent and not pull and not repo.branches[branch].startswith(parent):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        base = repo.at(parent if parent and pull else branch)
        tree = edited(base.tree, edits, repo.objects)
        opened = repo.open_pull(base, title, author) if pull else None
        made = repo.grow(opened.ref if opened else branch, tree, title, header["value"]["description"], author=author)
        page = f"{self.url}/{repo.path}"
        said = {"success": True, "commitOid": made.oid, "commitUrl": f"{page}/commit/{made.oid}", "hookOutput": ""}
        return web.json_response(said | ({"pullRequestUrl": f"{page}/discussions/{opened.number}"} if opened else {}))

    async def _tag(self, request: web.Request) -> web.Response:
        repo, tag = self._repo(request, write=True), (await request.json())["tag"]
        commit = repo.at(request.match_info["revision"])
        if tag in repo.tags:
            raise Refused(409, f"Tag reference exists already: refs/tags/{tag}")
        repo.tags[tag] = commit.oid
        return web.json_response({})

    async def _untag(self, request: web.Request) -> web.Response:
        repo, tag = self._repo(request, write=True), request.match_info["revision"]
        if tag not in repo.tags:
            raise Refused(404, f"Invalid rev id: {tag}", "RevisionNotFound")
        del repo.tags[tag]
        return web.json_response({})

    async def _lfs_batch(self, request: web.Request) -> web.Response:
        repo, wanted = self._repo(request, write=True), await request.json()
        for each in wanted["objects"]:
            if each["oid"] not in repo.objects:
                verify = f"{self.url}/{repo.path}.git/info/lfs/objects/verify"
                upload = f"{self.cdn}/lfs/{repo.kind}s/{repo.name}/{each['oid']}"
                each["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
        return web.json_response({"transfer": "basic", "objects": wanted["objects"]})

    async def _lfs_verify(self, request: web.Request) -> web.Response:
        repo, wanted = self._repo(request, write=True), await request.json()
        if len(repo.objects.get(wanted["oid"], b"")) != wanted["size"]:
            raise Refused(404, "The object is not there, or not of this size")
        return web.json_response({})

    async def _resolve(self, request: web.Request) -> web.Response:
        repo, path = self._repo(request), request.match_info["path"]
        commit = repo.at(request.match_info["revision"])
        headers, blob = {"X-Repo-Commit": commit.oid}, commit.tree.get(path)
        if blob is None:
            raise Refused(404, "Entry not found", "EntryNotFound", **headers)
        if not blob.lfs:
            return part(request, blob.content, {"ETag": f'"{blob.oid}"', **headers})
        headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.content))}
        location = f"{self.cdn}/lfs/{repo.kind}s/{repo.name}/{blob.sha256}"
        return web.Response(status=302, headers={"Location": location, **headers})

    async def _lfs_put(self, request: web.Request) -> web.Response:
        content, oid = await request.read(), request.match_info["oid"]
        if "Authorization" in request.headers or hashlib.sha256(content).hexdigest() != oid:
            raise Refused(400, "A token, or another content than announced")
        self._shelf_of(request)[name_of(request)].objects[oid] = content
        return web.Response()

    async def _lfs_get(self, request: web.Request) -> web.Response:
        content = self._shelf_of(request)[name_of(request)].objects[request.match_info["oid"]]
        if "Authorization" in request.headers:
            raise Refused(400, "Only one auth mechanism allowed")
        return part(request, content, {})


def name_of(request: web.Request) -> str:
    """The repository in a request's path."""
    return "{owner}/{name}".format(**request.match_info)


def part(request: web.Request, content: bytes, headers: dict[str, str]) -> web.Response:
    """A file, or the range of it that was asked for."""
    if "Range" not in request.headers:
        return web.Response(body=content, headers=headers)
    start, stop, _ = request.http_range.indices(len(content))
    headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}", **headers}
    return web.Response(status=206 if start < stop else 416, body=content[start:stop], headers=headers)


def client_env(hub: Hub, home: Path, token: str = "hf_good") -> dict[str, str]:
    """What turns a process's `huggingface_hub` and `datasets` to this server, and away from every other."""
    names = ("HF_HUB_DISABLE_XET", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS")
    own = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_TOKEN": token, "NO_PROXY": "127.0.0.1"}
    return {**own, "HF_UPDATE_DOWNLOAD_COUNTS": "0", **dict.fromkeys(names, "1")}


@contextlib.contextmanager
def running_hub() -> Iterator[Hub]:
    """A Hub in a thread of its own."""
    hub, loop = Hub(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(hub.__aenter__(), loop).result(10)
    try:
        yield hub
    finally:
        asyncio.run_coroutine_threadsafe(hub.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
