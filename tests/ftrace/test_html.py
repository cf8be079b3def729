"""The HTML page in a real browser, from disk: it draws, zooms, moves, and shows what is chosen."""

import json
import subprocess
import sys

import pytest
import webdriver
from made_trace import Maker

from kloupe.ftrace import read
from kloupe.ftrace.views.html import render_html
from layers import cannot_run


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if webdriver.missing():
        cannot_run(f"needs {webdriver.missing()}")
    made = webdriver.Browser(str(tmp_path_factory.mktemp("profile")))
    yield made
    made.close()


@pytest.fixture
def page(tmp_path):
    maker = Maker()
    first, second = maker.sample()
    second[1] = (1_000_023_500, maker.wake(0, 7, "</script><b>two"))
    trace = maker.write(tmp_path / "a.dat", first, second[:2])
    path = tmp_path / "page.html"
    path.write_text("".join(render_html(read(str(trace)), "a & <b>")))
    return path


STATE = "return {from: view.from, to: view.to, drawn, tracks: tracks.length, chosen: chosen && data.names[chosen.task.calls[chosen.index]]};"


def place(browser, function: str) -> tuple[int, int]:
    """The middle of a function's box in the window."""
    return tuple(
        browser.run(f"""
        const box = canvas.getBoundingClientRect();
        for (const track of tracks) for (let i = 0; i < track.task.calls.length; i += FIELDS)
          if (data.names[track.task.calls[i]] === {json.dumps(function)})
            return [Math.round(box.left + toX(track.task.calls[i + 2] + track.task.calls[i + 3] / 2)),
                    Math.round(box.top + track.y - main.scrollTop + track.task.calls[i + 1] * ROW + ROW / 2)];
        """)
    )


def test_the_page(browser, page):
    browser.open(page.as_uri())
    state = browser.run(STATE)
    assert state["tracks"] == 3 and state["drawn"] >= 5 and (state["from"], state["to"]) == (0, 24_000)
    assert browser.run("return document.getElementById('title').textContent") == "a & <b>"
    assert browser.run("return document.querySelectorAll('b').length") == 0  # nothing of the trace became markup

    x, y = place(browser, "vfs_read")
    browser.wheel(x, y, -300)
    zoomed = browser.run(STATE)
    assert zoomed["to"] - zoomed["from"] < 24_000 and zoomed["from"] < 12_000 < zoomed["to"]
    browser.run("document.getElementById('whole').click()")
    assert browser.run(STATE)["to"] == 24_000

    browser.click(*place(browser, "vfs_read"))
    assert browser.run(STATE)["chosen"] == "vfs_read"
    about = browser.run("return document.getElementById('about').textContent")
    assert "22.000 µs" in about and "21.500 µs" in about and "bash-10" in about
    tree = browser.run("return [...document.querySelectorAll('#tree li > div')].map((d) => d.textContent)")
    assert [line[-len(name) :] for line, name in zip(tree, ("ksys_read", "vfs_read", "rw_verify_area"), strict=True)] == [
        "ksys_read", "vfs_read", "rw_verify_area",
    ]  # fmt: skip

    browser.run(
        "const s = document.getElementById('search'); s.value = 'verify'; s.dispatchEvent(new Event('input')); document.getElementById('next').click();"
    )
    state = browser.run(STATE)
    assert state["chosen"] == "rw_verify_area" and state["to"] - state["from"] <= 1_500
    pixels = browser.run(
        "return [...paint.getImageData(0, 0, canvas.width, canvas.height).data].filter((v, i) => i % 4 === 3 && v).length"
    )
    assert pixels > 500
    assert browser.complaints() == []


def test_the_command_writes_it(page, tmp_path):
    out = tmp_path / "out.html"
    command = [sys.executable, "-m", "kloupe", "ftrace", "report", str(page.parent / "a.dat"), "--html", "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    text = out.read_text()
    data = json.loads(text.partition('type="application/json">')[2].partition("</script>")[0])
    assert data["names"] == ["ksys_read", "vfs_read", "rw_verify_area"] and len(data["tasks"]) == 3
