"""The human demonstrations arrive whole and right, whatever the server and the network do, or one
sentence says why not.
"""

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

from pusht import demos, download
from pusht.__main__ import main

PAGE = (
    b"<!DOCTYPE html><html><title>Quota exceeded</title><body>Too many users have viewed this"
    b" file.</body></html>"
)


# A server on loopback: `site.pages` maps a path to what gives the answer.


class Site:
    def __init__(self, address: str):
        self.address = address
        self.pages = {}
        self.asked = []  # (path, Range, If-Range) of each request

    def gives(self, monkeypatch, *pages) -> None:
        """Make these pages the published addresses, /0, /1 and so on."""
        self.pages |= {f"/{i}": page for i, page in enumerate(pages)}
        monkeypatch.setattr(
            download, "ADDRESSES", tuple(f"{self.address}/{i}" for i in range(len(pages)))
        )

    @property
    def ranges(self) -> list[tuple[str | None, str | None]]:
        return [(asked, condition) for _, asked, condition in self.asked]


@pytest.fixture
def site(monkeypatch):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            site.asked.append((self.path, self.headers["Range"], self.headers["If-Range"]))
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


def whole(content, *, ranges=True, cut=None, **version):
    """A page that gives an archive, or its rest where that is asked for; `cut`: the connection ends
    after so many bytes.
    """

    def page(request):
        start, asked, condition = 0, request.headers["Range"], request.headers["If-Range"]
        if ranges and asked and (condition is None or condition in version.values()):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                return answer(request, 416, b"")
        given = content[start : None if cut is None else start + cut]
        place = (
            {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        )
        answer(request, 206 if start else 200, given, len(content) - start, **version, **place)

    return page


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
    """An archive of a tiny set that passes for the human one, of some twenty blocks."""
    monkeypatch.setattr(
        demos, "HUMAN_FINGERPRINT", demos.Demonstrations(*tiny_arrays().values()).fingerprint
    )
    content = zip_bytes(write_set(tmp_path / "set.zarr"), "pusht/set.zarr/")
    monkeypatch.setattr(download, "_BLOCK", len(content) // 20)
    return content


def kept(cache: Path) -> list[str]:
    return sorted(file.name for file in cache.iterdir() if file.suffix != ".lock")


def refusal(*words: str) -> str:
    """The one sentence with which the human set is refused: it holds `words`, and says what to do."""
    with pytest.raises(demos.DemosError) as caught:
        demos.open("human")
    message = str(caught.value)
    for word in words:
        assert word in message, message
    assert message.startswith("The human demonstrations ") and "\n" not in message
    advice = message.rpartition(": download ")[2]
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
    site.gives(monkeypatch, whole(Path(demos_path).read_bytes()))
    for _ in range(2):
        assert demos.open("human").num_episodes == 206
    assert len(site.asked) == 1 and kept(cache) == ["human.zip"]


def test_the_name_may_stand_in_the_environment(site, monkeypatch, content):
    site.gives(monkeypatch, whole(content))
    monkeypatch.setenv("PUSHT_DEMOS", "human")
    assert_tiny(demos.open())


def test_one_line_says_where_it_is_kept_and_stderr_stays_empty(
    site, cache, monkeypatch, content, capfd
):
    site.gives(monkeypatch, whole(content))
    demos.open("human")
    assert capfd.readouterr() == (
        f"Downloading the human demonstrations, which are kept in {cache / 'human.zip'}\n",
        "",
    )
    demos.open("human")
    assert capfd.readouterr() == ("", "")


class Bar:
    """A progress bar that remembers where it stood; at `stop`, somebody interrupts."""

    def __init__(self, stop=None):
        self.stop = stop

    def __call__(self, total, description, initial, **options):
        self.total, self.places = total, [initial]
        return self

    def update(self, count):
        self.places.append(self.places[-1] + count)
        if self.stop and self.places[-1] > self.stop:
            raise KeyboardInterrupt

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_a_bar_shows_how_far_it_is(site, monkeypatch, content):
    monkeypatch.setattr(download, "progress_bar", bar := Bar())
    site.gives(monkeypatch, whole(content))
    demos.open("human")
    assert bar.total == bar.places[-1] == len(content) and len(bar.places) > 10


def test_a_redirect_is_followed_but_not_away_from_https(site, monkeypatch, content):
    site.pages["/elsewhere"] = whole(content)
    site.gives(
        monkeypatch,
        plain(b"", 302, Location="http://example.invalid/"),
        plain(b"", 302, Location="/elsewhere"),
    )
    assert_tiny(demos.open("human"))
    site.gives(monkeypatch, plain(b"", 302, Location="http://example.invalid/"))
    download.clear()
    refusal("it answers 302", "leads to http://example.invalid/, not to https")


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
    site.gives(monkeypatch, whole(content))
    assert_tiny(demos.open("human"))


# Going on.


@pytest.mark.parametrize(
    "version",
    [{"ETag": '"1"'}, {"Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, {}],
    ids=["etag", "date", "none"],
)
def test_an_interrupted_download_goes_on_where_it_was(site, cache, monkeypatch, content, version):
    site.gives(monkeypatch, whole(content, **version))
    monkeypatch.setattr(download, "progress_bar", Bar(stop=len(content) // 2))
    with pytest.raises(KeyboardInterrupt):
        demos.open("human")
    there = (cache / "human.zip.part").stat().st_size
    assert len(content) // 2 < there < len(content)
    monkeypatch.setattr(download, "progress_bar", bar := Bar())
    assert_tiny(demos.open("human"))
    assert site.ranges == [(None, None), (f"bytes={there}-", next(iter(version.values()), None))]
    assert bar.places[0] == there and bar.total == len(content)
    assert kept(cache) == ["human.zip"]


def test_a_connection_that_breaks_is_taken_up_at_once(site, monkeypatch, content):
    cut = len(content) * 2 // 5
    site.gives(monkeypatch, whole(content, cut=cut, ETag='"1"'))
    assert_tiny(demos.open("human"))
    assert site.ranges == [(None, None), (f"bytes={cut}-", '"1"'), (f"bytes={2 * cut}-", '"1"')]


def leave_part(site, monkeypatch, cache, content, size, **version) -> None:
    """Half a download: the first `size` bytes of `content`, from the first address."""
    site.gives(monkeypatch, whole(content, cut=size, ranges=False, **version))
    refusal(f"127.0.0.1: cut short after {size:,} of {len(content):,} bytes")
    assert (cache / "human.zip.part").read_bytes() == content[:size]
    site.asked.clear()


def elsewhere(content):
    return lambda request: answer(
        request, 206 if request.headers["Range"] else 200, content, Content_Range="bytes 5-9/10"
    )


@pytest.mark.parametrize("page, requests", [
    (lambda content: whole(content, ETag='"2"'), 1),
    (lambda content: whole(content, ETag='"1"', ranges=False), 1),
    (lambda content: whole(content, ETag='"1"'), 2),
    (elsewhere, 2),
], ids=["another version", "no ranges", "nothing behind the part (416)", "another range"])  # fmt: skip
def test_what_does_not_continue_the_part_is_not_glued_to_it(
    site, cache, monkeypatch, content, page, requests
):
    longer = b"PK" + bytes(2 * len(content))
    leave_part(site, monkeypatch, cache, longer, len(content) + 100, ETag='"1"')
    site.gives(monkeypatch, page(content))
    assert_tiny(demos.open("human"))
    assert site.ranges[0] == (f"bytes={len(content) + 100}-", '"1"') and len(site.asked) == requests


def test_a_part_of_another_address_is_not_continued(site, cache, monkeypatch, content):
    leave_part(site, monkeypatch, cache, b"PK" + bytes(2000), 1000)
    site.gives(monkeypatch, plain(PAGE), whole(content))
    assert_tiny(demos.open("human"))
    assert site.asked == [("/0", "bytes=1000-", None), ("/1", None, None)] and kept(cache) == [
        "human.zip"
    ]


def test_a_part_that_leads_to_wrong_data_is_removed(site, cache, monkeypatch, content):
    leave_part(site, monkeypatch, cache, b"PK" + bytes(len(content)), len(content) // 2)
    site.gives(monkeypatch, whole(content))  # without a version, nobody can tell beforehand
    refusal("what it gives")
    assert not (cache / "human.zip.part").exists()
    assert_tiny(demos.open("human"))


def test_a_notice_does_not_cost_the_part(site, cache, monkeypatch, content):
    leave_part(site, monkeypatch, cache, content, 500, ETag='"1"')
    site.gives(monkeypatch, plain(PAGE))
    refusal("a web page")
    site.gives(monkeypatch, whole(content, ETag='"1"'))
    assert_tiny(demos.open("human"))
    assert site.ranges[-1] == ("bytes=500-", '"1"')


def test_a_weak_etag_is_no_version(site, cache, monkeypatch, content):
    leave_part(
        site,
        monkeypatch,
        cache,
        content,
        500,
        ETag='W/"1"',
        Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT",
    )
    refusal("cut short")
    assert site.ranges[0] == ("bytes=500-", "Mon, 01 Jan 2024 00:00:00 GMT")


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
        archive.writestr(f"{STATE}/9.0", bytes(demos._MAX_BYTES + 1))
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
        "a web page in place of the zip (a quota notice?)",
    ),
    "page as a zip": (
        lambda _: plain(b"\xef\xbb\xbf\n" + PAGE, Content_Type="application/zip"),
        "a web page in place of the zip",
    ),
    "not found": (lambda _: plain(PAGE, 404), "it answers 404 (Not Found)"),
    "server error": (lambda _: plain(b"", 500), "it answers 500 (Internal Server Error)"),
    "a part unasked": (lambda _: plain(b"PK", 206, Content_Range="bytes 5-6/7"), "it answers 206"),
    "nothing": (lambda _: plain(b""), "no zip"),
    "text": (lambda _: plain(b"Busy."), "no zip"),
    "rubbish": (
        lambda _: plain(b"PK\x03\x04" + bytes(5000)),
        "what it gives is a zip that was cut short or damaged",
    ),
    "half a zip that claims to be whole": (
        lambda folder: plain(other(folder)[:1000]),
        "what it gives is a zip that was cut short or damaged",
    ),
    "one value off": (
        lambda folder: whole(other(folder)),
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
    "endless": (lambda _: endless, "it gives more than 300,000 bytes"),
    "too large": (lambda _: plain(b"PK", length=300_001), "it offers 300,001 bytes"),
}


@pytest.mark.parametrize("page, words", FAILURES.values(), ids=FAILURES)
def test_what_an_address_gives_instead_is_named_and_the_next_one_tried(
    site, cache, monkeypatch, content, tmp_path, page, words
):
    monkeypatch.setattr(download, "MAX_BYTES", 300_000)
    site.gives(monkeypatch, page(tmp_path))
    refusal(f"could not be downloaded (127.0.0.1: {words}")
    assert not {"human.zip", "human.zip.part"} & set(kept(cache))
    site.gives(monkeypatch, page(tmp_path), whole(content))
    assert_tiny(demos.open("human"))
    assert kept(cache) == ["human.zip"] and not (tmp_path.parent / "evil").exists()


def test_an_endless_answer_is_not_waited_for(site, monkeypatch, content):
    hung_up = threading.Event()
    monkeypatch.setattr(download, "MAX_BYTES", 300_000)
    site.gives(monkeypatch, lambda request: endless(request, hung_up.set))
    refusal("it gives more than 300,000 bytes")
    assert hung_up.wait(10)


def test_no_network_is_named(site, monkeypatch, content):
    site.gives(monkeypatch, whole(content))
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        nowhere = f"http://127.0.0.1:{closed.server_port}/"
    monkeypatch.setattr(download, "ADDRESSES", (nowhere,))
    refusal("127.0.0.1: no connection (Connection refused)")
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
        refusal("cut short after", "(timed out)")
    finally:
        done.set()
    assert 0 < (cache / "human.zip.part").stat().st_size <= 1000


def test_every_address_says_its_own_failure(site, monkeypatch, content):
    site.gives(monkeypatch, plain(PAGE), plain(b"", 404))
    refusal(
        "(127.0.0.1: a web page in place of the zip (a quota notice?); 127.0.0.1: it answers 404"
        " (Not Found))",
        f"{site.address}/0 or {site.address}/1 by hand",
    )


def test_a_cache_that_cannot_be_written_is_named(site, cache, monkeypatch, content):
    site.gives(monkeypatch, whole(content))
    cache.write_text("a file where the folder should be")
    refusal(f"cannot be kept in {cache} (")
    assert site.asked == []


# The cache.


@pytest.mark.parametrize("damage, words", [
    (lambda file, folder: file.write_bytes(file.read_bytes()[:-100]), "cut short or damaged"),
    (lambda file, folder: file.write_bytes(other(folder)), "wrong checksum"),
], ids=["cut", "another set"])  # fmt: skip
def test_a_kept_file_that_was_damaged_is_noticed_and_fetched_again(
    site, cache, monkeypatch, content, tmp_path, capsys, damage, words
):
    site.gives(monkeypatch, whole(content))
    demos.open("human")
    damage(cache / "human.zip", tmp_path)
    capsys.readouterr()
    assert_tiny(demos.open("human"))
    notice = capsys.readouterr().out.splitlines()[0]
    assert (
        notice.startswith(f"{cache / 'human.zip'} ")
        and words in notice
        and notice.endswith("fetched again")
    )
    assert len(site.asked) == 2 and (cache / "human.zip").read_bytes() == content


def test_two_at_a_time_download_once(site, cache, monkeypatch, content):
    asked, go_on = threading.Event(), threading.Event()

    def held(request):
        asked.set()
        go_on.wait(60)
        whole(content)(request)

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
    assert len(site.asked) == 1


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
        f"human: not downloaded; python -m pusht demos human puts it at {file}",
    ]
    assert not cache.exists() and said("--clear") == [f"Nothing was kept in {cache}"]

    leave_part(site, monkeypatch, cache, content, 500)
    site.gives(monkeypatch, whole(content))
    assert said("human")[-2:] == [shipped, f"human: 2 episodes, 7 steps, the human set, in {file}"]
    monkeypatch.setenv("PUSHT_DEMOS", str(file))
    assert said()[2] == f"PUSHT_DEMOS: 2 episodes, 7 steps, the human set, in {file}"
    monkeypatch.delenv("PUSHT_DEMOS")
    assert said("--clear") == [f"Removed {file}"] and list(cache.iterdir()) == []

    site.gives(monkeypatch, whole(content, cut=500, ranges=False))
    with pytest.raises(SystemExit, match="could not be downloaded .*cut short"):
        main(["demos", "human"])
    capsys.readouterr()
    assert said("--clear") == [
        f"Removed {cache / 'human.zip.part'}",
        f"Removed {cache / 'human.zip.part.from'}",
    ]


def test_the_command_warns_of_nothing():
    done = subprocess.run(
        [sys.executable, "-m", "pusht", "demos", "--help"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert (done.returncode, done.stderr) == (0, "") and "--clear" in done.stdout
