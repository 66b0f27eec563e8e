"""The human demonstrations arrive whole and right, whatever the server and the network do, or one
sentence says why not.
"""

import io
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import filelock
import numpy as np
import pytest
from test_demos import STATE, assert_tiny, tiny_arrays, write_set, write_zip, zip_bytes
from tqdm import tqdm

from pusht import demos
from pusht.__main__ import main
from pusht.demos import download, stored

PAGE = (
    b"<!DOCTYPE html><html><title>Quota exceeded</title><body>Too many users have viewed this"
    b" file.</body></html>"
)


# A server on loopback: `site.pages` maps a path to the function that answers for it.


class Site:
    def __init__(self, address: str):
        self.address = address
        self.pages = {}
        self.requested = []  # the path of each request

    def gives(self, monkeypatch, *pages) -> None:
        """Make these pages the published addresses, /0, /1 and so on."""
        self.pages |= {f"/{i}": page for i, page in enumerate(pages)}
        monkeypatch.setattr(
            download, "ADDRESSES", tuple(f"{self.address}/{i}" for i in range(len(pages)))
        )


@pytest.fixture
def site(monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            site.requested.append(self.path)
            site.pages[self.path](self)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


def answer(request, status, content, length=None, **headers) -> None:
    request.send_response(status)
    headers = {"Content-Length": len(content) if length is None else length} | headers
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), str(value))
    request.end_headers()
    request.wfile.write(content)


def plain(content, status=200, **headers):
    return lambda request: answer(request, status, content, **headers)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, and nothing said by the environment."""
    monkeypatch.setattr(download, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.delenv("PUSHT_DEMOS", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def content(tmp_path, monkeypatch) -> bytes:
    """An archive of a tiny set that passes for the human one."""
    monkeypatch.setattr(
        demos, "HUMAN_FINGERPRINT", demos.Demonstrations(*tiny_arrays().values()).fingerprint
    )
    return zip_bytes(write_set(tmp_path / "set.zarr"), "pusht/set.zarr/")


def kept(cache: Path) -> list[str]:
    return sorted(file.name for file in cache.iterdir() if file.suffix != ".lock")


def refusal(*words: str) -> str:
    """The one sentence that refuses the human set: it holds `words`, and says what to do."""
    with pytest.raises(demos.DemosError) as caught:
        demos.open("human")
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert message.startswith("The human demonstrations ") and "\n" not in message
    advice = message.rpartition(": try again, or download ")[2]
    assert advice.startswith(download.ADDRESSES[0]) and advice.endswith(
        "set the environment variable PUSHT_DEMOS to the path of that file."
    )
    return message


# When all is well.


def test_the_published_addresses_are_https():
    assert [urlsplit(address).scheme for address in download.ADDRESSES] == ["https", "https"]


def test_the_real_set_is_fetched_once_and_kept(site, cache, monkeypatch, demos_path):
    if not Path(demos_path).is_file():
        pytest.skip("needs the human demonstrations as a zip: PUSHT_DEMOS names a folder")
    site.gives(monkeypatch, plain(Path(demos_path).read_bytes()))
    for _ in range(2):
        assert demos.open("human").num_episodes == 206
    assert len(site.requested) == 1 and kept(cache) == ["human.zip"]


def test_the_name_may_stand_in_the_environment(site, monkeypatch, content):
    site.gives(monkeypatch, plain(content))
    monkeypatch.setenv("PUSHT_DEMOS", "human")
    assert_tiny(demos.open())


def test_one_line_says_where_it_is_kept_and_stderr_stays_empty(
    site, cache, monkeypatch, content, capfd
):
    site.gives(monkeypatch, plain(content))
    demos.open("human")
    assert capfd.readouterr() == (
        f"Downloading the human demonstrations, which are kept in {cache / 'human.zip'}\n",
        "",
    )
    demos.open("human")
    assert capfd.readouterr() == ("", "")


def test_a_bar_shows_how_far_it_is(site, monkeypatch, content):
    bars = []

    def bar(total, description, **options):
        bars.append(tqdm(total=total, desc=description, file=io.StringIO(), **options))
        return bars[0]

    monkeypatch.setattr(download, "progress_bar", bar)
    site.gives(monkeypatch, plain(content))
    demos.open("human")
    assert bars[0].total == bars[0].n == len(content) and bars[0].unit == "B" and len(bars) == 1


def test_a_redirect_is_followed(site, monkeypatch, content):
    site.pages["/elsewhere"] = plain(content)
    site.gives(monkeypatch, plain(b"", 302, Location="/elsewhere"))
    assert_tiny(demos.open("human"))


def test_an_interrupted_download_leaves_nothing(site, cache, monkeypatch, content):
    def interrupt(self, count):
        raise KeyboardInterrupt

    site.gives(monkeypatch, plain(content))
    with monkeypatch.context() as interrupted, pytest.raises(KeyboardInterrupt):
        interrupted.setattr(download._Bar, "update", interrupt)
        demos.open("human")
    assert kept(cache) == []
    assert_tiny(demos.open("human"))


def test_a_file_put_there_by_hand_is_used(site, monkeypatch, content, tmp_path):
    site.gives(monkeypatch)
    (tmp_path / "by hand.zip").write_bytes(content)
    monkeypatch.setenv("PUSHT_DEMOS", str(tmp_path / "by hand.zip"))
    assert_tiny(demos.open("human"))


def test_a_wrong_file_put_there_by_hand_is_named_when_the_download_fails(
    site, monkeypatch, content, tmp_path
):
    site.gives(monkeypatch, plain(PAGE, 404))
    for wrong, words in (
        (
            write_zip(
                tmp_path / "other.zip", write_set(tmp_path / "other.zarr", action=np.ones((7, 2)))
            ),
            "wrong checksum",
        ),
        (tmp_path / "nowhere.zip", "does not exist"),
    ):
        monkeypatch.setenv("PUSHT_DEMOS", str(wrong))
        refusal("it answers 404", f"PUSHT_DEMOS: {wrong}", words)
    site.gives(monkeypatch, plain(content))
    assert_tiny(demos.open("human"))


# Failing: each way is named, leaves nothing that could be used, and the next address is tried.


def endless(request, hung_up=lambda: None):
    """Goes on long enough, and calls `hung_up` when nobody listens any more."""
    request.send_response(200)
    request.end_headers()
    try:
        for _ in range(100):
            request.wfile.write(b"PK" + bytes(1_000_000))
    except ConnectionError:
        hung_up()


def bomb(folder: Path) -> bytes:
    path = write_zip(folder / "bomb.zip", folder / "set.zarr")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{STATE}/9.0", bytes(stored.MAX_BYTES + 1))
    return path.read_bytes()


def outside(folder: Path) -> bytes:
    path = write_zip(folder / "outside.zip", folder / "set.zarr")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../evil", "evil")
    return path.read_bytes()


def other(folder: Path) -> bytes:
    action = tiny_arrays()["data/action"]
    action[3, 1] = np.nextafter(action[3, 1], np.float32(np.inf))
    return zip_bytes(write_set(folder / "other.zarr", action=action))


FAILURES = {
    "quota page": (
        lambda _: plain(PAGE, Content_Type="text/html; charset=utf-8"),
        "what it gives is a web page and not an archive (a download page or a quota notice",
    ),
    "not found": (lambda _: plain(PAGE, 404), "it answers 404 (Not Found)"),
    "server error": (lambda _: plain(b"", 500), "it answers 500 (Internal Server Error)"),
    "nothing": (lambda _: plain(b""), "what it gives is an empty file"),
    "text": (lambda _: plain(b"Busy."), "what it gives is neither a zip nor a folder"),
    "rubbish": (
        lambda _: plain(b"PK\x03\x04" + bytes(5000)),
        "what it gives is a zip that was cut short or damaged",
    ),
    "half a zip that claims to be whole": (
        lambda folder: plain(other(folder)[:1000]),
        "what it gives is a zip that was cut short or damaged",
    ),
    "half of what was promised": (
        lambda folder: plain(other(folder)[:1000], length=2000),
        "the connection failed (",
    ),
    "one value off": (
        lambda folder: plain(other(folder)),
        "what it gives holds other demonstrations (wrong checksum",
    ),
    "zip bomb": (
        lambda folder: plain(bomb(folder)),
        "what it gives holds over 64 MB in data/state",
    ),
    "way outside": (
        lambda folder: plain(outside(folder)),
        "what it gives has an entry '../../evil'",
    ),
    "endless": (lambda _: endless, "what it gives has more than 300,000 bytes"),
    "too large": (
        lambda _: plain(b"PK", length=300_001),
        "what it gives has more than 300,000 bytes",
    ),
}


@pytest.mark.parametrize("page, words", FAILURES.values(), ids=FAILURES)
def test_what_an_address_gives_instead_is_named_and_the_next_one_tried(
    site, cache, monkeypatch, content, tmp_path, page, words
):
    monkeypatch.setattr(download, "MAX_BYTES", 300_000)
    site.gives(monkeypatch, page(tmp_path))
    refusal(f"could not be downloaded (127.0.0.1: {words}")
    assert kept(cache) == []
    site.gives(monkeypatch, page(tmp_path), plain(content))
    assert_tiny(demos.open("human"))
    assert kept(cache) == ["human.zip"] and not (tmp_path.parent / "evil").exists()


def test_an_endless_answer_is_not_waited_for(site, monkeypatch, content):
    hung_up = threading.Event()
    monkeypatch.setattr(download, "MAX_BYTES", 300_000)
    site.gives(monkeypatch, lambda request: endless(request, hung_up.set))
    refusal("what it gives has more than 300,000 bytes")
    assert hung_up.wait(10)


def test_no_network_is_named(site, monkeypatch, content):
    site.gives(monkeypatch, plain(content))
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        nowhere = f"http://127.0.0.1:{closed.server_port}/"
    monkeypatch.setattr(download, "ADDRESSES", (nowhere,))
    refusal("127.0.0.1: the connection failed (ConnectionError)")
    monkeypatch.setattr(download, "ADDRESSES", (nowhere, f"{site.address}/0"))
    assert_tiny(demos.open("human"))


def test_a_server_that_falls_silent_is_given_up(site, cache, monkeypatch, content):
    done = threading.Event()

    def silent(request):
        answer(request, 200, content[:1000], len(content))
        done.wait(60)

    monkeypatch.setattr(download, "_TIMEOUT", 0.1)
    site.gives(monkeypatch, silent)
    try:
        refusal("the connection failed (")
    finally:
        done.set()
    assert kept(cache) == []


def test_every_address_says_its_own_failure(site, monkeypatch, content):
    site.gives(monkeypatch, plain(b"Busy."), plain(b"", 404))
    refusal(
        "(127.0.0.1: what it gives is neither a zip nor a folder; 127.0.0.1: it answers 404"
        " (Not Found))",
        f"{site.address}/0 or {site.address}/1 by hand",
    )


def test_a_cache_that_cannot_be_written_is_named(site, cache, monkeypatch, content):
    site.gives(monkeypatch, plain(content))
    cache.write_text("a file where the folder should be")
    refusal(f"cannot be kept in {cache} (")
    assert site.requested == []


# The cache.


@pytest.mark.parametrize("damage, words", [
    (lambda file, folder: file.write_bytes(file.read_bytes()[:-100]), "cut short or damaged"),
    (lambda file, folder: file.write_bytes(other(folder)), "wrong checksum"),
], ids=["cut", "another set"])  # fmt: skip
def test_a_kept_file_that_was_damaged_is_noticed_and_fetched_again(
    site, cache, monkeypatch, content, tmp_path, capsys, damage, words
):
    site.gives(monkeypatch, plain(content))
    demos.open("human")
    damage(cache / "human.zip", tmp_path)
    capsys.readouterr()
    assert_tiny(demos.open("human"))
    notice = capsys.readouterr().out.splitlines()[0]
    assert (
        notice.startswith(f"{cache / 'human.zip'} ")
        and words in notice
        and notice.endswith("downloaded again")
    )
    assert len(site.requested) == 2 and (cache / "human.zip").read_bytes() == content


def test_two_at_a_time_download_once(site, cache, monkeypatch, content):
    asked, go_on = threading.Event(), threading.Event()

    def held(request):
        asked.set()
        go_on.wait(60)
        plain(content)(request)

    site.gives(monkeypatch, held)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(demos.open, "human")
        assert asked.wait(60)
        with pytest.raises(filelock.Timeout):  # so the second one will wait
            filelock.FileLock(cache / "human.zip.lock").acquire(timeout=0)
        second = pool.submit(demos.open, "human")
        go_on.set()
        assert_tiny(first.result())
        assert_tiny(second.result())
    assert len(site.requested) == 1


def test_the_command_says_where_the_sets_are_fetches_and_clears(
    site, cache, monkeypatch, content, tmp_path, capsys
):
    def said(*arguments):
        main(["demos", *arguments])
        return capsys.readouterr().out.splitlines()

    file = cache / "human.zip"
    monkeypatch.setattr(demos, "SHIPPED", tmp_path / "shipped.zip")
    assert said()[0].startswith(f"shipped: {tmp_path / 'shipped.zip'} does not exist")
    (tmp_path / "shipped.zip").write_bytes(other(tmp_path))
    shipped = f"shipped: 2 episodes, 7 steps, in {tmp_path / 'shipped.zip'}"
    assert said() == [
        shipped,
        f"human: not downloaded; python -m pusht demos human downloads it to {file}",
    ]
    assert not cache.exists() and said("--clear") == [f"There was nothing to remove in {cache}"]

    site.gives(monkeypatch, plain(content))
    assert said("human")[-2:] == [shipped, f"human: 2 episodes, 7 steps, the human set, in {file}"]
    monkeypatch.setenv("PUSHT_DEMOS", str(file))
    assert said()[2] == f"PUSHT_DEMOS: 2 episodes, 7 steps, the human set, in {file}"
    monkeypatch.delenv("PUSHT_DEMOS")
    assert said("--clear") == [f"Removed {file}"] and list(cache.iterdir()) == []

    site.gives(monkeypatch, plain(content[:500]))
    with pytest.raises(SystemExit, match="could not be downloaded .*cut short"):
        main(["demos", "human"])
    (cache / "human.zip.part").touch()  # what a process that was killed leaves
    capsys.readouterr()
    assert said("--clear") == [f"Removed {cache / 'human.zip.part'}"]


def test_the_command_warns_of_nothing():
    done = subprocess.run(
        [sys.executable, "-m", "pusht", "demos", "--help"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert (done.returncode, done.stderr) == (0, "") and "--clear" in done.stdout
