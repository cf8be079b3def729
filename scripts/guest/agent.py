"""The first process inside a guest: runs the job's command and tells the host what it says.

Runs under the guest's Python and imports nothing of the project, so that a broken project cannot break it.
On the second serial port it writes frames: a kind byte (``o`` standard output, ``e`` standard error, ``c``
control), a length of four bytes, big end first, and the content. Control frames hold JSON.
"""

import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
import tty
from pathlib import Path

JOB = Path("/kloupe/.guest/job.json")
RESULTS = Path("/results")
TIMED_OUT = 124


class Port:
    """The serial port to the host."""

    def __init__(self) -> None:
        self._fd = os.open("/dev/ttyS1", os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._fd)

    def send(self, kind: bytes, content: bytes) -> None:
        """Write one frame."""
        frame = memoryview(kind + len(content).to_bytes(4, "big") + content)
        while frame:
            frame = frame[os.write(self._fd, frame) :]

    def tell(self, **facts: object) -> None:
        """Write one control frame and wait until it has left."""
        self.send(b"c", json.dumps(facts).encode())
        termios.tcdrain(self._fd)


def main() -> None:
    """Be the first process: run the agent in a child, pick up orphans, then power off."""
    agent = os.fork()
    if agent == 0:
        run_job(sys.argv[1] if len(sys.argv) > 1 else "")
        os._exit(0)
    while os.wait()[0] != agent:
        pass
    os.sync()
    Path("/proc/sysrq-trigger").write_text("o")
    while True:
        time.sleep(60)


def run_job(results_disk: str) -> None:
    """Run the job and report its end."""
    port = Port()
    RESULTS.mkdir(exist_ok=True)
    job = json.loads(JOB.read_text())
    port.tell(event="ready", release=os.uname().release)
    status = run_command(port, job)
    if results_disk and any(RESULTS.iterdir()):
        subprocess.run(["tar", "-c", "-f", results_disk, "-C", str(RESULTS), "."], check=False)
        os.sync()
    port.tell(event="exit", status=status)


def run_command(port: Port, job: dict[str, object]) -> int:
    """Run the command, pass on what it writes, and give its exit status as a shell would."""
    command = [str(word) for word in job["command"]]  # type: ignore[attr-defined]
    env = {str(name): str(value) for name, value in job["env"].items()}  # type: ignore[attr-defined]
    deadline = time.monotonic() + float(job["timeout_s"])  # type: ignore[arg-type]
    try:
        # A session of its own, so that a time-out reaches all of it.
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=str(job["cwd"]),
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        port.send(b"e", f"guest: {command[0]} cannot be run: {error.strerror}\n".encode())
        return 127
    assert child.stdout is not None and child.stderr is not None
    kinds = {child.stdout.fileno(): b"o", child.stderr.fileno(): b"e"}
    timed_out = False
    ended_at = None
    while kinds:
        ready, _, _ = select.select(list(kinds), [], [], 0.2)
        for fd in ready:
            data = os.read(fd, 1 << 14)
            if data:
                port.send(kinds[fd], data)
            else:
                del kinds[fd]
        now = time.monotonic()
        if not timed_out and now > deadline:
            timed_out = True
            port.send(b"e", b"guest: timed out\n")
            os.killpg(child.pid, signal.SIGKILL)
        # A process left behind may hold the pipes open: it gets two seconds to say its last.
        if child.poll() is not None:
            ended_at = ended_at or now
            if now - ended_at > 2.0:
                break
    status = child.wait()
    if timed_out:
        return TIMED_OUT
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    main()
