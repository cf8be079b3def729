"""A suite of the Debian archive, read by apt with a state folder of its own.

Nothing of the machine's own apt state is read or changed; only its settings (proxies, authentication) and
the address of its Debian mirror are used. See apt.conf(5), apt-get(8) ``indextargets`` and ``download``.
"""

import os
import platform
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from kloupe_guest.cache import get_cache_dir, hold_lock
from kloupe_guest.errors import GuestError, run_program

KEYRINGS = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/debian-archive-keyring.pgp"),
)

_DATED = re.compile(r"^(?P<front>.*?)(?:/archive)?/debian/\d{8}T\d{6}Z/?$")


def list_mirrors() -> list[str]:
    """Give the addresses to try for the Debian archive, best first.

    They come from ``$KLOUPE_GUEST_MIRROR``, else from the machine's own apt sources. A source that names a
    dated snapshot of the archive cannot have newer suites, so the plain archive on the same host comes first.
    """
    named = os.environ.get("KLOUPE_GUEST_MIRROR")
    if named:
        return [named]
    listed = run_program(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"], needs="apt"
    ).split()
    mirrors: list[str] = []
    for address in dict.fromkeys(listed):
        parts = urlsplit(address)
        dated = _DATED.match(parts.path)
        if dated:
            mirrors.append(urlunsplit(parts._replace(path=f"{dated['front']}/debian")))
            mirrors.append(address)
        elif re.search(r"/debian(\.list)?/?$", parts.path):
            mirrors.append(address)
    if not mirrors:
        raise GuestError("no Debian archive in this machine's apt sources: set KLOUPE_GUEST_MIRROR to its address")
    return list(dict.fromkeys(mirrors))


class Suite:
    """One suite (``trixie``, ``trixie-backports``, ...), main, amd64."""

    def __init__(self, name: str) -> None:
        if platform.machine() != "x86_64":
            raise GuestError(f"guests are amd64 only, this machine is {platform.machine()}")
        self.name = name
        self._folder = get_cache_dir() / "apt" / name
        self._conf = self._folder / "apt.conf"

    def hold(self) -> AbstractContextManager[None]:
        """Keep other runs from this suite's state folder; every method below wants it held."""
        return hold_lock(f"apt-{self.name}")

    def update(self) -> None:
        """Fetch the list of packages, from the first mirror that has the suite."""
        problems = []
        for mirror in list_mirrors():
            self._write_conf(mirror)
            try:
                self._apt("apt-get", "-qq", "--error-on=any", "update")
            except GuestError as error:
                problems.append(str(error))
                continue
            return
        raise GuestError(f"no mirror of this machine gives the suite {self.name}: {' / '.join(problems)}")

    def _write_conf(self, mirror: str) -> None:
        (self._folder / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (self._folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        keyring = next((path for path in KEYRINGS if path.exists()), None)
        options = "arch=amd64" if keyring is None else f"arch=amd64 signed-by={keyring}"
        (self._folder / "sources.list").write_text(f"deb [{options}] {mirror} {self.name} main\n")
        # The post-invoke hooks that container images set clean the machine's own cache: not ours to run.
        self._conf.write_text(f"""\
Dir::Etc::sourcelist "{self._folder}/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::preferences "-";
Dir::Etc::preferencesparts "-";
Dir::State "{self._folder}";
Dir::State::lists "{self._folder}/lists";
Dir::State::status "{self._folder}/status";
Dir::Cache "{self._folder}";
Dir::Cache::archives "{self._folder}/archives";
APT::Architecture "amd64";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
""")

    def _apt(self, program: str, *words: str, cwd: Path | None = None) -> str:
        env = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        return run_program([program, "-c", self._conf, *words], needs="apt", cwd=cwd, env=env)

    def list_names(self, pattern: str) -> list[str]:
        """Give the names of packages that match a regular expression."""
        found = self._apt("apt-cache", "search", "--names-only", pattern)
        return [line.split()[0] for line in found.splitlines() if line.strip()]

    def list_depends(self, package: str) -> list[str]:
        """Give the direct dependencies of a package that the suite itself has."""
        found = self._apt("apt-cache", "depends", "--no-recommends", "--no-suggests", package)
        return re.findall(r"^ [ |]Depends: ([^<>\s]+)$", found, re.MULTILINE)

    def download(self, packages: Sequence[str], folder: Path) -> list[Path]:
        """Fetch these packages, without what they depend on, into ``folder``."""
        self._apt("apt-get", "-qq", "download", *packages, cwd=folder)
        return sorted(folder.glob("*.deb"))

    def download_closure(self, packages: Sequence[str]) -> list[Path]:
        """Fetch these packages and all that they depend on, and give the files of exactly those."""
        words = ("-qq", "-y", "install", *packages)
        listed = self._apt("apt-get", "--print-uris", *words)
        names = re.findall(r"^'[^']+' (\S+\.deb) ", listed, re.MULTILINE)
        self._apt("apt-get", "--download-only", *words)
        archives = self._folder / "archives"
        files = [archives / name for name in names] or list(archives.glob("*.deb"))
        missing = [path.name for path in files if not path.exists()]
        if missing:
            raise GuestError(f"apt did not fetch {', '.join(missing)} of {self.name}")
        return sorted(files)

    def drop_archives(self) -> None:
        """Delete the packages fetched by ``download_closure``."""
        for path in (self._folder / "archives").glob("*.deb"):
            path.unlink()


def unpack_package(package: Path, folder: Path) -> None:
    """Unpack a package's files; no maintainer script runs.

    ``dpkg-deb --extract`` would replace the links of a merged /usr (``bin -> usr/bin``) by folders, which
    older packages still ship, so tar does it.
    """
    # -o: files belong to whoever unpacks. An unprivileged build is as good as one by root.
    script = 'set -o pipefail; dpkg-deb --fsys-tarfile "$1" | tar -x -o --keep-directory-symlink -C "$2"'
    run_program(["bash", "-c", script, "unpack", package, folder], needs="dpkg tar bash")
