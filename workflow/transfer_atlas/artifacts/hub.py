"""Repositories of the Hugging Face hub, through its own client and pinned to a commit."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.tqdm import tqdm

from transfer_atlas.artifacts.names import is_literal, matching, safe_path
from transfer_atlas.artifacts.progress import watching
from transfer_atlas.errors import UserError
from transfer_atlas.identity import file_digest
from transfer_atlas.settings import HubArtifact

MOST_REPEATED = 3  # times its size that a file may be received before the server counts as broken


class _Allowance(tqdm):
    """The client's progress bar, silent, that ends downloads without end.

    The client resumes a broken body for as long as any byte arrives, and starts anew where the server cannot resume:
    behind a server that always breaks off it would never return.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]
        self.received = 0.0

    def update(self, n: float | None = 1) -> None:
        self.received += max(0.0, n or 0.0)
        if self.total and self.received > MOST_REPEATED * self.total:
            raise UserError("the download of a file breaks off every time; run again later, or try another network")


def download(artifact: HubArtifact, scratch: Path, files: Path) -> None:
    """Fetch the files of a repository that match `artifact.files` into the existing folder `files`.

    Every file is checked against what the repository's own listing says of it (git or LFS object id). The endpoint is
    `HF_ENDPOINT`, the login the client's own. Busy servers (429 with Retry-After, 5xx) and broken connections are
    retried by the client, five times each.

    Raises:
        UserError: where repository, revision or file do not exist or are not to be had, the hub cannot be reached, or
            what came is not what the listing says.
    """
    local = scratch / "hub"
    local.mkdir()
    try:
        with watching(f"hub {artifact.repo}", scratch) as watch:
            chosen = _choose(artifact, _listing(artifact))
            watch.total = sum(entry.size for entry in chosen)
            for entry in chosen:
                _download_file(artifact, entry, local)
                target = files / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                (local / entry.path).rename(target)
    except UserError:
        raise
    except (httpx2.HTTPError, OSError, ValueError) as error:
        raise _explained(artifact, error) from error


def _endpoint() -> str | None:
    """The hub's address, read when it is needed: the client reads the variable when it is imported."""
    return (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None


def _listing(artifact: HubArtifact) -> list[RepoFile]:
    entries = HfApi(endpoint=_endpoint()).list_repo_tree(
        artifact.repo, recursive=True, revision=artifact.revision, repo_type=artifact.repo_type
    )
    return sorted((entry for entry in entries if isinstance(entry, RepoFile)), key=lambda entry: entry.path)


def _choose(artifact: HubArtifact, listing: list[RepoFile]) -> list[RepoFile]:
    chosen = []
    unused = set(artifact.files)
    for entry in listing:
        matched = matching(entry.path, artifact.files)
        unused -= matched
        if matched and safe_path(entry.path) == entry.path:
            chosen.append(entry)
    missing = sorted(filter(is_literal, unused))
    if missing or not chosen:
        wanted = ", ".join(missing or artifact.files)
        raise UserError(f"{artifact.repo} at {artifact.revision} has no file {wanted}; correct `files`")
    return chosen


def _download_file(artifact: HubArtifact, entry: RepoFile, local: Path) -> None:
    for fresh in (False, True):
        hf_hub_download(
            artifact.repo,
            entry.path,
            repo_type=artifact.repo_type,
            revision=artifact.revision,
            endpoint=_endpoint(),
            local_dir=local,
            force_download=fresh,
            tqdm_class=_Allowance,
        )
        # What the client took from the user's hub cache may be damaged there, so the second try bypasses the cache.
        if _object_id(local / entry.path, entry) == _listed_id(entry):
            return
    raise UserError(
        f"{entry.path} of {artifact.repo} should be object {_listed_id(entry)}, as the hub's listing says, but "
        f"{_object_id(local / entry.path, entry)} came; run again, or check the hub's address (HF_ENDPOINT)"
    )


def _listed_id(entry: RepoFile) -> str:
    return entry.lfs.sha256 if entry.lfs is not None else entry.blob_id


def _object_id(path: Path, entry: RepoFile) -> str:
    """The id under which the repository keeps a file: SHA-256 for LFS, git's SHA-1 of header and content otherwise."""
    if entry.lfs is not None:
        return file_digest(path)
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with open(path, "rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _explained(artifact: HubArtifact, error: BaseException) -> BaseException:
    """The error for the user, or `error` itself where it is none of the hub's (a full disk)."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    hub = _endpoint() or "the hub"
    place = f"{artifact.repo_type} repository {artifact.repo}"
    for link in chain:
        match link:
            case GatedRepoError():
                return UserError(f"the {place} is gated; accept its terms on its page, then run `hf auth login`")
            case RepositoryNotFoundError():
                advice = "correct `repo` or `repo_type`, or run `hf auth login` if it is private"
                return UserError(f"{hub} has no {place}; {advice}")
            case RevisionNotFoundError():
                return UserError(f"the {place} has no revision {artifact.revision}; correct `revision`")
            case RemoteEntryNotFoundError():
                return UserError(f"the {place} has no file behind {link.response.url}; correct `files`")
            case OfflineModeIsEnabled():
                return UserError(f"the {place} is not here and HF_HUB_OFFLINE forbids to fetch it; unset it, run again")
            case HfHubHTTPError() if link.response.status_code in (401, 403):
                return UserError(f"{hub} refuses the {place} ({link.response.status_code}); run `hf auth login`")
            case HfHubHTTPError() if link.response.status_code == 429:
                return UserError(f"{hub} still answers 429 (too many requests) for the {place}; run again later")
            case HfHubHTTPError():
                return UserError(f"{hub} answers {link.response.status_code} for the {place}; run again later")
            case httpx2.RemoteProtocolError():
                return UserError(f"the download of the {place} breaks off ({_one_line(link)}); run again later")
            case httpx2.TransportError():
                return UserError(f"cannot reach {hub} for the {place} ({_one_line(link)}); check network and proxy")
    if isinstance(error, OSError) and error.errno is not None:
        return error
    return UserError(f"cannot fetch the {place}: {_one_line(error)}; run again")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
