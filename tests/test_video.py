"""write_video, show_video: whole films that every browser plays, without an ffmpeg on the machine."""
import imageio_ffmpeg
import numpy as np
import pytest

from pusht.render import render_many
from pusht.video import show_video, write_video


@pytest.fixture(scope="module")
def frames():
    path = np.linspace([100, 400, 180, 200, 1], [300, 300, 256, 256, 0.8], 12)
    return render_many(path, actions=path[:, :2])


def test_a_film_is_h264_for_browsers_and_shows_its_frames(tmp_path, frames):
    assert write_video(tmp_path / "film.mp4", frames) == tmp_path / "film.mp4"
    about, seen = decoded(tmp_path / "film.mp4")
    assert (about["codec"], about["pix_fmt"].split("(")[0], about["fps"]) == ("h264", "yuv420p", 10)
    assert seen.shape == frames.shape
    assert np.abs(seen.astype(int) - frames).mean() < 2  # what half the colour samples cost, in order and not BGR


def test_the_index_comes_first_so_that_a_film_plays_while_it_loads(tmp_path, frames):
    data = write_video(tmp_path / "film.mp4", frames).read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("fps", [5, 12.5])
def test_the_film_has_the_asked_speed(tmp_path, frames, fps):
    about, seen = decoded(write_video(tmp_path / "film.mp4", iter(frames), fps=fps))
    assert about["fps"] == fps and len(seen) == len(frames)


def test_odd_sizes_are_padded_with_their_edge(tmp_path, frames):
    odd = frames[:, :95, :93]
    _, seen = decoded(write_video(tmp_path / "film.mp4", odd))
    assert seen.shape == (len(odd), 96, 94, 3)
    assert np.abs(seen[:, -1].astype(int) - seen[:, -2]).max() < 32  # no black line
    assert np.abs(seen[:, :95, :93].astype(int) - odd).mean() < 2


def test_no_ffmpeg_on_the_path_is_needed_and_nothing_is_printed(tmp_path, frames, monkeypatch, capfd, recwarn):
    monkeypatch.setenv("PATH", str(tmp_path))
    write_video(tmp_path / "film.mp4", frames)
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list
    assert len(decoded(tmp_path / "film.mp4")[1]) == len(frames)


def test_scikit_video_writes_the_frames(tmp_path, frames, monkeypatch):
    import skvideo.io

    written, write = [], skvideo.io.FFmpegWriter.writeFrame
    monkeypatch.setattr(skvideo.io.FFmpegWriter, "writeFrame", lambda self, im: (written.append(im), write(self, im)))
    write_video(tmp_path / "film.mp4", frames)
    np.testing.assert_array_equal(written, frames)


def test_a_film_replaces_the_one_before_and_makes_its_folder(tmp_path, frames):
    path = tmp_path / "videos" / "film.mp4"
    write_video(path, frames)
    write_video(path, frames[:3])
    assert len(decoded(path)[1]) == 3
    assert [p.name for p in path.parent.iterdir()] == ["film.mp4"]


FRAME = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize("bad, words", [
    ([], "at least one frame"),
    ([FRAME, FRAME[:6]], r"frame 1 is \(6, 8, 3\) after \(8, 8, 3\)"),
    ([FRAME, FRAME / 255], "frame 1 is .* float64"),
    ([FRAME[..., 0]], r"frame 0 is \(8, 8\) uint8"),
    ([FRAME[:0]], r"frame 0 is \(0, 8, 3\)"),
])
def test_frames_of_the_wrong_kind_are_refused_and_leave_the_old_film(tmp_path, bad, words):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"the film before")
    with pytest.raises(ValueError, match=words):
        write_video(path, bad)
    assert path.read_bytes() == b"the film before" and list(tmp_path.iterdir()) == [path]


def test_frames_that_break_off_leave_no_file(tmp_path):
    def broken():
        yield FRAME
        raise OSError("the episode broke off")

    with pytest.raises(OSError, match="broke off"):
        write_video(tmp_path / "film.mp4", broken())
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_says_why_and_leaves_no_file(tmp_path, frames):
    with pytest.raises(RuntimeError, match="(?s)ffmpeg could not write the film: .*fast"):
        write_video(tmp_path / "film.mp4", np.tile(frames, (20, 1, 1, 1)), fps="fast")
    assert list(tmp_path.iterdir()) == []


def test_a_shown_film_is_embedded_in_the_page(tmp_path, frames):
    page = show_video(write_video(tmp_path / "film.mp4", frames), width=320)._repr_html_()
    assert "data:video/mp4;base64," in page and 'width="320"' in page and "controls" in page and "muted" in page


def test_a_film_that_is_not_there_says_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="write_video"):
        show_video(tmp_path / "film.mp4")


def decoded(path):
    """What ffmpeg says of the film, and its frames (N, H, W, 3)."""
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    width, height = about["size"]
    return about, np.array([np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader])
