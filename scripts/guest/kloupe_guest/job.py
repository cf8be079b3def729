"""What one run takes into the guest: a tar file that the guest reads as a disk.

It holds the project as it is now (``/kloupe``), what it depends on (``/kloupe/.guest/site``), compiled test
programs (``/kloupe/.guest/bin``), the command to run, and extra folders.
"""

import hashlib
import json
import os
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kloupe_guest.cache import build_once, get_cache_dir, hold_lock
from kloupe_guest.errors import GuestError, run_program
from kloupe_guest.rootfs import Root

PROJECT = Path(__file__).resolve().parents[3]
AGENT = Path(__file__).resolve().parents[1] / "agent.py"
PROGRAMS = PROJECT / "tests" / "guest" / "programs"

GUEST_PATH = "/kloupe/.guest/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Job:
    """A command for the guest and what it needs there."""

    command: Sequence[str]
    timeout_s: float = 600.0
    env: Mapping[str, str] = field(default_factory=dict)
    extra: Sequence[tuple[Path, str]] = ()
    """Folders or files of the host, each with its place in the guest."""
    requirements: Sequence[str] = ()
    """Python packages beside the project's own dependencies."""


def parse_extra(text: str) -> tuple[Path, str]:
    """Read ``DIR`` or ``DIR:PLACE``; without a place it becomes ``/extra/NAME``."""
    source, _, place = text.partition(":")
    path = Path(source).absolute()
    if not path.exists():
        raise GuestError(f"{source} does not exist")
    if place and not place.startswith("/"):
        raise GuestError(f"the place of {source} in the guest must be absolute, not {place!r}")
    return path, place or f"/extra/{path.name}"


def pack_job(job: Job, root: Root, path: Path) -> None:
    """Write the tar file."""
    site = _fetch_site(root, job.requirements)
    with hold_lock("stage"):
        stage = get_cache_dir() / "stage" / root.folder.name
        kloupe = stage / "kloupe"
        _copy_changed(PROJECT, kloupe, _list_project())
        root.compile_python(kloupe, "/kloupe")
        private = kloupe / ".guest"
        private.mkdir(exist_ok=True)
        shutil.copyfile(AGENT, private / "agent.py")
        _compile_programs(private / "bin")
        env = {
            "PATH": GUEST_PATH,
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "PYTHONPATH": "/kloupe/src:/kloupe/.guest/site",
            **job.env,
        }
        facts = {"command": list(job.command), "env": env, "cwd": "/kloupe", "timeout_s": job.timeout_s}
        (private / "job.json").write_text(json.dumps(facts))
        _tar("-c", path, stage, "")
    _tar("-r", path, site, "kloupe/.guest/site")
    for source, place in job.extra:
        _tar("-r", path, source, place.strip("/"))


def _tar(mode: str, path: Path, source: Path, place: str) -> None:
    owner = ["--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]
    if source.is_dir():
        words = ["-C", str(source), f"--transform=flags=r;s,^\\.,./{place},", "."]
    else:
        words = ["-C", str(source.parent), f"--transform=flags=r;s,^.*$,./{place},", source.name]
    run_program(["tar", mode, "-f", path, *owner, *words], needs="tar")


def _list_project() -> list[str]:
    """Give the project's files, by their paths in it: what git tracks or would add."""
    if (PROJECT / ".git").exists() and shutil.which("git"):
        # A work tree owned by someone else is still ours to read.
        safe = ["-c", f"safe.directory={PROJECT}"]
        listed = run_program(
            ["git", *safe, "-C", PROJECT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], needs="git"
        )
        return [name for name in listed.split("\0") if name and (PROJECT / name).is_file()]
    paths: list[Path] = []
    for parent, folders, files in os.walk(PROJECT):
        kept = (Path(parent, name) for name in folders if not name.startswith(".") and name != "__pycache__")
        folders[:] = [path.name for path in kept if path != get_cache_dir()]
        paths += [Path(parent, name) for name in files]
    return [str(path.relative_to(PROJECT)) for path in paths if path.is_file()]


def _copy_changed(source: Path, target: Path, names: Iterable[str]) -> None:
    """Make ``target`` hold exactly these files; byte code of files that did not change stays."""
    target.mkdir(parents=True, exist_ok=True)
    wanted = set(names)
    for parent, folders, files in os.walk(target):
        folders[:] = [name for name in folders if name not in ("__pycache__", ".guest")]
        for name in files:
            path = Path(parent, name)
            if str(path.relative_to(target)) not in wanted:
                path.unlink()
    for name in wanted:
        old, new = target / name, source / name
        facts = new.stat()
        if old.exists():
            have = old.stat()
            if (have.st_size, have.st_mtime_ns, have.st_mode) == (facts.st_size, facts.st_mtime_ns, facts.st_mode):
                continue
        old.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(new, old)


def _fetch_site(root: Root, requirements: Sequence[str]) -> Path:
    """Give a folder with the project's dependencies for the guest's Python, from the cache or by pip."""
    described = tomllib.loads((PROJECT / "pyproject.toml").read_text()) if (PROJECT / "pyproject.toml").exists() else {}
    wanted = [*described.get("project", {}).get("dependencies", []), *requirements]
    version = root.python_version
    key = hashlib.sha256(repr((sorted(wanted), version)).encode()).hexdigest()[:12]

    def build(making: Path) -> None:
        if wanted:
            fits = ["--only-binary=:all:", "--python-version", version, "--platform", "manylinux2014_x86_64"]
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            run_program([*pip, *fits, "--no-compile", "--target", making, *wanted], needs="python3-pip")
        root.compile_python(making, "/kloupe/.guest/site")

    return build_once(get_cache_dir() / "sites" / key, build)


def _compile_programs(folder: Path) -> None:
    """Compile the C programs that checks trace: with debug information, as a distribution would."""
    folder.mkdir(exist_ok=True)
    sources = {path.stem: path for path in PROGRAMS.glob("*.c")}
    for old in folder.iterdir():
        if old.name not in sources:
            old.unlink()
    for name, source in sources.items():
        made = folder / name
        if not made.exists() or made.stat().st_mtime < source.stat().st_mtime:
            flags = ["-g", "-O1", "-fno-omit-frame-pointer", "-pthread"]
            run_program(["cc", *flags, "-o", made, source], needs="gcc libc6-dev")
