"""Films: whole or not at all, in what every browser plays, with no ffmpeg on the machine."""

import os
import re
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import psutil
import pytest

from pusht import show_video, write_video


def frames(count, height=64, width=96):
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    return [
        np.broadcast_to(np.roll(ramp, i * 5)[None, :, None], (height, width, 3))
        for i in range(count)
    ]


def probe(path):
    said = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True
    ).stderr
    return re.search(r"Video: (\w+).*?, (yuv\w+).*?, (\d+)x(\d+).*?, ([\d.]+) fps", said).groups()


@pytest.mark.parametrize("height, width", [(64, 96), (63, 95), (64, 95)])
def test_a_film_is_h264_that_browsers_play_of_even_size(tmp_path, height, width):
    path = write_video(tmp_path / "film.mp4", frames(7, height, width))
    assert probe(path) == (
        "h264",
        "yuv420p",
        str(width + width % 2),
        str(height + height % 2),
        "10",
    )


def test_the_frames_come_back_in_order(tmp_path):
    written = frames(9)
    path = write_video(tmp_path / "film.mp4", iter(written), fps=25)
    decode = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        str(path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    read = np.frombuffer(
        subprocess.run(decode, capture_output=True, check=True).stdout, np.uint8
    ).reshape(-1, 64, 96, 3)
    assert len(read) == 9 and probe(path)[4] == "25"
    for there, back in zip(written, read, strict=True):
        assert np.abs(there.astype(int) - back).mean() < 12  # what the compression takes


def test_the_index_stands_before_the_pictures_so_that_playing_begins_at_once(tmp_path):
    content = write_video(tmp_path / "film.mp4", frames(3)).read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(
    "bad, sentence",
    [
        ([], "at least one frame"),
        ([np.zeros((4, 4, 3))], r"\(4, 4, 3\) float64"),
        ([np.zeros((4, 4), np.uint8)], r"\(4, 4\) uint8"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)], r"\(6, 4, 3\) uint8"),
    ],
)
def test_what_is_no_film_is_refused_and_leaves_nothing_and_harms_nothing(tmp_path, bad, sentence):
    (tmp_path / "film.mp4").write_bytes(b"the film before")
    with pytest.raises(ValueError, match=sentence):
        write_video(tmp_path / "film.mp4", bad)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [
        ("film.mp4", b"the film before")
    ]


def test_a_film_that_breaks_off_half_way_leaves_the_old_one(tmp_path):
    def broken():
        yield from frames(3)
        raise KeyError("the simulation")

    (tmp_path / "film.mp4").write_bytes(b"the film before")
    with pytest.raises(KeyError):
        write_video(tmp_path / "film.mp4", broken())
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [
        ("film.mp4", b"the film before")
    ]


def test_no_ffmpeg_is_asked_of_the_machine_and_nothing_is_said(tmp_path):
    code = (
        "import numpy as np; from pusht import write_video, show_video\n"
        "show_video(write_video('film.mp4', np.zeros((3, 64, 64, 3), np.uint8)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "film.mp4").stat().st_size > 500


def test_a_film_is_shown_embedded(tmp_path):
    shown = show_video(write_video(tmp_path / "film.mp4", frames(3)), width=320)._repr_html_()
    assert 'width="320"' in shown and "controls" in shown and "data:video/mp4;base64," in shown


def test_a_film_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no film .*nothing.mp4"):
        show_video(tmp_path / "nothing.mp4")


def test_no_command_line_names_the_folder_of_a_film_while_it_is_written(tmp_path):
    private = tmp_path / "private-folder"
    private.mkdir()
    seen = []

    def watched():
        for frame in frames(3):
            yield frame
            seen.append(psutil.Process().children(recursive=True))
            for process in seen[-1]:
                assert "private-folder" not in " ".join(process.cmdline())

    write_video(private / "film.mp4", watched())
    assert all(seen)  # ffmpeg was there to be looked at


@pytest.mark.parametrize("name", ["-y.mp4", "pipe:1.mp4", "a film.mp4", "%03d.mp4"])
def test_a_film_of_any_name_is_a_file_of_that_name(tmp_path, name):
    assert probe(write_video(tmp_path / name, frames(2)))[0] == "h264"
    assert [path.name for path in tmp_path.iterdir()] == [name]
