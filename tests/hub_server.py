"""A Hub on loopback: what the genuine client needs of huggingface.co, in memory, over real HTTP.

Users and tokens with scopes, private, gated and renamed repos, pull requests, large files, and
faults on demand. It keeps every request, so that a test can ask who was told which token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

LARGE = (".safetensors", ".gif", ".png", ".webp", ".wasm", ".bin", ".zip")


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def large_oid(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Repo:
    id: str
    kind: str = "model"
    private: bool = False
    gated: bool = False
    readers: set[str] = field(default_factory=set)  # who accepted the terms of a gated repo
    likes: int = 0
    modified: datetime = field(default_factory=lambda: datetime.now(UTC))
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)  # messages of the commits
    claimed_sizes: dict[str, int] = field(default_factory=dict)  # lies of this repo
    hardware: str | None = None  # of a Space

    def commit(self, files: dict[str, bytes | None], message: str = "", ref: str = "main") -> str:
        """Put files (None deletes) on top of a branch."""
        now = {k: v for k, v in (self.files(ref) | files).items() if v is not None}
        sha = hashlib.sha1(f"{self.id}{len(self.commits)}{sorted(now)}".encode()).hexdigest()
        self.commits[sha], self.refs[ref], self.modified = now, sha, datetime.now(UTC)
        self.log.append(message)
        return sha

    def files(self, ref: str = "main") -> dict[str, bytes]:
        return dict(self.commits.get(self.refs.get(ref, ref), {}))

    def resolve(self, revision: str) -> str | None:
        sha = self.refs.get(revision, revision)
        return sha if sha in self.commits else None

    @property
    def metadata(self) -> dict:
        parts = self.files().get("README.md", b"").decode().split("---\n")
        return (yaml.safe_load(parts[1]) or {}) if len(parts) > 2 else {}

    @property
    def tags(self) -> list[str]:
        data = self.metadata
        return [*data.get("tags", []), *filter(None, [data.get("library_name")])]


@dataclass
class Seen:
    method: str
    path: str
    token: str | None
    cookie: str | None
    body: bytes


@dataclass
class Fault:
    """Answers requests whose "METHOD /path" matches, so many times, instead of the Hub.

    When the answer is True, the Hub answers too.
    """

    pattern: str
    answer: Callable[[Handler], object]
    times: int = 10**9
    used: int = 0


class HubServer:
    """`with HubServer() as hub:`; `hub.endpoint` is where it answers."""

    def __init__(self) -> None:
        self.tokens: dict[str, tuple[str, str]] = {}  # token: (user, "read" | "write" | "expired")
        self.free: set[str] = set()  # users without a paid plan
        self.repos: dict[tuple[str, str], Repo] = {}
        self.renamed: dict[tuple[str, str], str] = {}
        self.store: dict[str, bytes] = {}  # large files, by sha256
        self.faults: list[Fault] = []
        self.requests: list[Seen] = []
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.hub = self
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    def user(self, name: str, scope: str = "write") -> str:
        """A new token of a user."""
        token = f"hf_{name}{scope}{len(self.tokens)}" + "x" * 24
        self.tokens[token] = (name, scope)
        return token

    def repo(self, repo_id: str, kind: str = "model", **options) -> Repo:
        """Make a repo, with the first commit that the Hub makes."""
        repo = self.repos[kind, repo_id] = Repo(repo_id, kind, **options)
        repo.commit({".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")
        return repo

    def rename(self, old: str, new: str) -> None:
        repo = self.repos.pop(("model", old))
        repo.id = new
        self.repos["model", new] = repo
        self.renamed["model", old] = new

    def fault(self, pattern: str, answer: Callable[[Handler], object], times: int = 10**9) -> Fault:
        self.faults.append(Fault(pattern, answer, times))
        return self.faults[-1]


# ---------------------------------------------------------------------------- faults


def stall(handler: Handler) -> None:
    """Take the request and never answer."""
    handler.server.hub.closing.wait(60)
    handler.close_connection = True


def held(until: threading.Event) -> Callable[[Handler], bool]:
    """Answer as ever, but not before the event (or a minute)."""
    return lambda _handler: until.wait(60) or True


def drip(handler: Handler) -> None:
    """Begin an answer and then send a byte now and again."""
    handler.start(200, {"Content-Length": "100000"})
    while not handler.server.hub.closing.wait(0.1):
        handler.wfile.write(b" ")


def endless(handler: Handler) -> None:
    """An answer without a length that never ends."""
    handler.start(200, {"Transfer-Encoding": "chunked", "ETag": '"e"'})
    while not handler.server.hub.closing.is_set():
        handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")


def huge(handler: Handler) -> None:
    """An answer that says it has 10 GB."""
    handler.start(200, {"Content-Length": str(10**10)})


def hang_up(handler: Handler) -> None:
    """Read a part of the request's body and close the connection."""
    handler.rfile.read(min(1000, int(handler.headers.get("Content-Length", 0)) // 2))
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def redirect(url: str, headers: dict[str, str] | None = None) -> Callable[[Handler], None]:
    return lambda handler: handler.reply(302, b"", {"Location": url} | (headers or {}))


def status(code: int, headers: dict[str, str] | None = None) -> Callable[[Handler], None]:
    return lambda handler: handler.reply(code, b'{"error": "as asked for"}', headers)


def raw(body: bytes, headers: dict[str, str] | None = None) -> Callable[[Handler], None]:
    return lambda handler: handler.reply(200, body, headers)


# ---------------------------------------------------------------------------- the protocol


class Refused(Exception):
    def __init__(self, code: int, message: str, kind: str = "") -> None:
        self.code, self.message, self.kind = code, message, kind


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes

    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.handle_request()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def handle_request(self) -> None:
        hub: HubServer = self.server.hub
        url = urlsplit(self.path)
        self.hub, self.query, self.body = hub, parse_qs(url.query), None
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        seen = Seen(self.command, self.path, bearer, self.headers.get("Cookie"), b"")
        hub.requests.append(seen)
        with hub.lock:
            line = f"{self.command} {url.path}"
            fault = next(
                (f for f in hub.faults if f.used < f.times and re.search(f.pattern, line)), None
            )
            if fault:
                fault.used += 1
        try:
            if fault:
                # What answers by itself may leave the body unread; the connection ends with it.
                self.close_connection = True
                if not fault.answer(self):
                    return
            seen.body = self.body = self.read_body()
            with hub.lock:
                self.route(url.path, bearer)
        except Moved as there:
            self.reply(307, b"", {"Location": there.url})
        except Refused as no:
            headers = {"X-Error-Message": no.message} | (
                {"X-Error-Code": no.kind} if no.kind else {}
            )
            self.json({"error": no.message}, no.code, headers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def route(self, path: str, bearer: str | None) -> None:
        self.user, self.scope = None, None
        if bearer is not None:
            self.user, self.scope = self.hub.tokens.get(bearer, (None, "expired"))
            if self.scope == "expired":
                raise Refused(401, "Invalid credentials in Authorization header")
        for pattern, method in ROUTES:
            if found := re.fullmatch(pattern, f"{self.command} {path}"):
                return method(self, **{k: unquote(v or "") for k, v in found.groupdict().items()})
        raise Refused(404, "Not a page of this Hub")

    # ---- answering

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def start(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def reply(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        length = {"Content-Length": str(len(body)), "Set-Cookie": "visitor=1; Path=/"}
        self.start(code, length | (headers or {}))
        if self.command != "HEAD":
            self.wfile.write(body)

    def json(self, value: object, code: int = 200, headers: dict[str, str] | None = None) -> None:
        kind = {"Content-Type": "application/json"}
        self.reply(code, json.dumps(value).encode(), kind | (headers or {}))

    def find(self, kind: str, repo_id: str, write: bool = False) -> Repo:
        """A repo that this user may see, and if asked for, write to."""
        kind = kind.strip("/").removesuffix("s") or "model"
        if new := self.hub.renamed.get((kind, repo_id)):
            raise Moved(self.path.replace(repo_id, new))
        repo = self.hub.repos.get((kind, repo_id))
        if repo is None or (repo.private and self.user != repo_id.split("/")[0]):
            raise Refused(404 if self.user else 401, "Repository not found", "RepoNotFound")
        if write and (self.scope != "write" or self.user != repo_id.split("/")[0]):
            raise Refused(403, "You need write access to this repo")
        return repo

    # ---- accounts and repos

    def whoami(self) -> None:
        if self.user is None:
            raise Refused(401, "Invalid username or password.")
        auth = {"accessToken": {"role": self.scope}}
        self.json({"type": "user", "name": self.user, "orgs": [], "auth": auth})

    def create(self) -> None:
        wish = json.loads(self.body)
        owner = wish.get("organization") or self.user
        if self.user is None or self.scope != "write" or owner != self.user:
            raise Refused(403, f"You may not create a repo under {owner}")
        kind, repo_id = wish.get("type", "model"), f"{owner}/{wish['name']}"
        prefix = "" if kind == "model" else f"{kind}s/"
        url = {"url": f"{self.hub.endpoint}/{prefix}{repo_id}"}
        if (kind, repo_id) in self.hub.repos:
            return self.json(url | {"error": "You already created this repo"}, 409)
        if kind == "space":
            self.check_plan(wish.get("hardware", "cpu-basic"))
        made = self.hub.repo(repo_id, kind, private=wish.get("visibility") == "private")
        made.hardware = wish.get("hardware", "cpu-basic") if kind == "space" else None
        self.json(url)

    def check_plan(self, hardware: str) -> None:
        """A free account gets two Gradio Spaces on ZeroGPU and no others."""
        on_zero = [r for r in self.hub.repos.values() if r.hardware == "zero-a10g"]
        if self.user in self.hub.free and (hardware != "zero-a10g" or len(on_zero) >= 2):
            raise Refused(402, "Payment required")

    def hardware(self, kind: str, repo: str) -> None:
        found = self.find(kind, repo, write=True)
        wish = json.loads(self.body)["flavor"]
        self.check_plan(wish)
        found.hardware = wish
        self.json({"stage": "BUILDING", "hardware": {"current": None, "requested": wish}})

    def delete(self) -> None:
        wish = json.loads(self.body)
        kind, repo_id = wish.get("type", "model"), f"{wish['organization']}/{wish['name']}"
        self.find(kind, repo_id, write=True)
        del self.hub.repos[kind, repo_id]
        self.json({})

    def validate_yaml(self) -> None:
        wish = json.loads(self.body)
        try:
            data = yaml.safe_load(wish["content"].split("---\n")[1])
            problems = [] if isinstance(data, dict) else ["metadata is no mapping"]
        except (yaml.YAMLError, IndexError) as error:
            problems = [str(error)]
        errors = [{"message": text} for text in problems]
        self.json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def describe(self, repo: Repo, sha: str, sizes: bool = False) -> dict:
        siblings = []
        for name, data in repo.commits[sha].items():
            sibling = {"rfilename": name}
            if sizes:
                size = repo.claimed_sizes.get(name, len(data))
                sibling |= {"size": size, "blobId": git_oid(data)}
            siblings.append(sibling)
        moment = repo.modified.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return {
            "id": repo.id,
            "modelId": repo.id,
            "author": repo.id.split("/")[0],
            "sha": sha,
            "lastModified": moment,
            "createdAt": moment,
            "private": repo.private,
            "gated": "auto" if repo.gated else False,
            "disabled": False,
            "likes": repo.likes,
            "downloads": 0,
            "tags": repo.tags,
            "library_name": repo.metadata.get("library_name"),
            "cardData": repo.metadata,
            "siblings": siblings,
        } | (
            {"runtime": {"stage": "BUILDING", "hardware": {"requested": repo.hardware}}}
            if repo.kind == "space"
            else {}
        )

    def info(self, kind: str, repo: str, revision: str = "") -> None:
        found = self.find(kind, repo)
        sha = found.resolve(revision or "main")
        if sha is None:
            raise Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        self.json(self.describe(found, sha, sizes="blobs" in self.query))

    def tree(self, kind: str, repo: str, revision: str) -> None:
        found = self.find(kind, repo)
        self.json(
            [
                {"type": "file", "path": name, "size": len(data), "oid": git_oid(data)}
                for name, data in found.files(revision).items()
            ]
        )

    def models(self) -> None:
        wanted = set(self.query.get("filter", []))
        search = self.query.get("search", [""])[0].lower()
        found = [
            repo
            for (kind, _), repo in self.hub.repos.items()
            if kind == "model"
            and wanted <= set(repo.tags)
            and search in repo.id.lower()
            and (not repo.private or self.user == repo.id.split("/")[0])
        ]
        by = "likes" if self.query.get("sort", [""])[0] == "likes" else "modified"
        found.sort(key=lambda repo: getattr(repo, by), reverse=True)
        start = int(self.query.get("cursor", ["0"])[0])
        page = min(20, int(self.query.get("limit", ["1000"])[0]))
        rest = re.sub(r"[?&]cursor=\d+", "", self.path)
        link = f'<{self.hub.endpoint}{rest}&cursor={start + page}>; rel="next"'
        more = {"Link": link} if start + page < len(found) else {}
        shown = [self.describe(repo, repo.refs["main"]) for repo in found[start : start + page]]
        self.json(shown, headers=more)

    # ---- files

    def resolve(self, kind: str, repo: str, revision: str, path: str) -> None:
        found = self.find(kind, repo)
        if found.gated and self.user not in {*found.readers, repo.split("/")[0]}:
            raise Refused(403 if self.user else 401, "Access is restricted", "GatedRepo")
        sha = found.resolve(revision)
        if sha is None:
            raise Refused(404, "Invalid rev id", "RevisionNotFound")
        data = found.commits[sha].get(path)
        if data is None:
            raise Refused(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": sha, "ETag": f'"{git_oid(data)}"'}
        if path.endswith(LARGE):
            oid = large_oid(data)
            self.hub.store.setdefault(oid, data)
            route = f"{self.hub.endpoint}/no-xet-here"
            headers |= {
                "X-Linked-Etag": f'"{oid}"',
                "X-Linked-Size": str(len(data)),
                "X-Xet-Hash": oid,
                "X-Xet-Refresh-Route": route,
                "Location": f"{self.hub.endpoint}/cdn/{sha}/{oid}",
            }
            return self.reply(302, b"", headers)
        self.reply(200, data, headers)

    def cdn(self, sha: str, oid: str) -> None:
        self.reply(200, self.hub.store[oid], {"X-Repo-Commit": sha, "ETag": f'"{oid}"'})

    def preupload(self, kind: str, repo: str, revision: str) -> None:
        there = self.writable(kind, repo).files(revision)
        files = []
        for file in json.loads(self.body)["files"]:
            large, data = file["path"].endswith(LARGE), there.get(file["path"])
            oid = None if data is None else large_oid(data) if large else git_oid(data)
            mode = "lfs" if large else "regular"
            files.append(file | {"uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.json({"files": files})

    def writable(self, kind: str, repo: str) -> Repo:
        """A pull request only needs somebody who may write somewhere."""
        proposal = "create_pr" in self.query
        if proposal and self.scope != "write":
            raise Refused(403, "This token may only read")
        return self.find(kind, repo, write=not proposal)

    def batch(self, kind: str, repo: str) -> None:
        self.find(kind, repo)
        if self.scope != "write":
            raise Refused(403, "This token may only read")
        objects = []
        for thing in json.loads(self.body)["objects"]:
            if thing["oid"] not in self.hub.store:
                at = f"{self.hub.endpoint}/lfs/{thing['oid']}"
                thing["actions"] = {"upload": {"href": at}, "verify": {"href": f"{at}/verify"}}
            objects.append(thing)
        self.json({"transfer": "basic", "objects": objects})

    def put_large(self, oid: str) -> None:
        if large_oid(self.body) != oid:
            raise Refused(400, "Not the file that was announced")
        self.hub.store[oid] = self.body
        self.reply(200, b"")

    def verify(self, oid: str) -> None:
        wish = json.loads(self.body)
        if len(self.hub.store.get(oid, b"")) != wish["size"]:
            raise Refused(404, "The file did not arrive")
        self.json({})

    def commit(self, kind: str, repo: str, revision: str) -> None:
        found = self.writable(kind, repo)
        lines = [json.loads(line) for line in self.body.splitlines()]
        header, changes = lines[0]["value"], {}
        if header.get("parentCommit") not in (None, found.refs["main"]):
            raise Refused(412, "The branch has moved")
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                changes[value["path"]] = data = base64.b64decode(value["content"])
                if b"\0" in data:
                    raise Refused(
                        400, f"Binary file outside the large-file storage: {value['path']}"
                    )
            elif line["key"] == "lfsFile":
                changes[value["path"]] = self.hub.store[value["oid"]]
            else:
                changes[value["path"]] = None
        ref = "main"
        if "create_pr" in self.query:
            number = sum(name.startswith("refs/pr/") for name in found.refs) + 1
            ref = f"refs/pr/{number}"
            found.refs[ref] = found.refs["main"]
        sha = found.commit(changes, header["summary"], ref)
        url = f"{self.hub.endpoint}/{'' if found.kind == 'model' else 'spaces/'}{found.id}"
        answer = {"success": True, "commitOid": sha, "commitUrl": f"{url}/commit/{sha}"}
        if ref != "main":
            answer["pullRequestUrl"] = f"{url}/discussions/{number}"
        self.json(answer)


class Moved(Refused):
    """A renamed repo: the same page under its new name."""

    def __init__(self, url: str) -> None:
        super().__init__(307, "Moved")
        self.url = url


_KIND, _REPO = r"(?P<kind>models|spaces)", r"(?P<repo>[^/]+/[^/]+)"
_API = rf"/api/{_KIND}/{_REPO}"
_PAGE = rf"/(?P<kind>spaces/)?{_REPO}"
ROUTES = [
    (r"GET /api/whoami-v2", Handler.whoami),
    (r"POST /api/repos/create", Handler.create),
    (r"DELETE /api/repos/delete", Handler.delete),
    (r"POST /api/validate-yaml", Handler.validate_yaml),
    (r"GET /api/models", Handler.models),
    (rf"GET {_API}", Handler.info),
    (rf"GET {_API}/revision/(?P<revision>.+)", Handler.info),
    (rf"GET {_API}/tree/(?P<revision>.+)", Handler.tree),
    (rf"POST {_API}/hardware", Handler.hardware),
    (rf"POST {_API}/preupload/(?P<revision>.+)", Handler.preupload),
    (rf"POST {_API}/commit/(?P<revision>.+)", Handler.commit),
    (rf"POST {_PAGE}\.git/info/lfs/objects/batch", Handler.batch),
    (r"PUT /lfs/(?P<oid>\w+)", Handler.put_large),
    (r"POST /lfs/(?P<oid>\w+)/verify", Handler.verify),
    (rf"(?:GET|HEAD) {_PAGE}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", Handler.resolve),
    (r"(?:GET|HEAD) /cdn/(?P<sha>\w+)/(?P<oid>\w+)", Handler.cdn),
]


def ages(repos: list[Repo]) -> None:
    """Let repos be a day apart, the first the newest."""
    for days, repo in enumerate(repos):
        repo.modified -= timedelta(days=days)


if __name__ == "__main__":
    # A Hub to try the commands on: HF_ENDPOINT=... HF_TOKEN=... python -m nca push ...
    with HubServer() as hub:
        print(f"HF_ENDPOINT={hub.endpoint} HF_TOKEN={hub.user('someone')}", flush=True)
        while True:
            time.sleep(3600)
