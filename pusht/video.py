"""Films of episodes: written by scikit-video as H.264 that every browser plays, shown in notebooks.

scikit-video pipes frames into ffmpeg; the program itself comes with imageio-ffmpeg, so none need be installed.
"""
import functools
import os
import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np


def write_video(path, frames, *, fps=10):
    """Write `frames` as an MP4 film to `path` and return that path.

    frames: iterable of (H, W, 3) uint8 RGB frames, all of one size; odd sizes are padded to even ones by repeating the
    last row or column, since a browser's H.264 has half as many colour samples a side. fps: frames a second.

    The film appears at `path` (its folder is made when missing) only when it is complete. Raises ValueError for no frames
    or frames of another kind, RuntimeError with ffmpeg's own words when the film cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        film = Path(folder, "film.mp4")
        _encode(film, _checked(frames), fps)
        os.replace(film, path)
    return path


def show_video(path, *, width=256):
    """The film at `path` as an object that plays where it is a notebook cell's last value, `width` pixels wide.

    The film is embedded, so a saved notebook keeps it. Raises FileNotFoundError when there is none.
    """
    from IPython.display import Video

    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no film {path} yet: the cell that scores or shows an episode writes it "
                                "(pusht.write_video), run that one first.")
    # Browsers start a film by themselves only when it is muted.
    return Video(filename=str(path), embed=True, width=width, mimetype="video/mp4",
                 html_attributes="controls loop autoplay muted playsinline")


def _checked(frames):
    """Yield the frames, padded to even sides; raise ValueError at the first that is not like the others."""
    shape = None
    for i, frame in enumerate(frames):
        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
            raise ValueError(f"A film is made of (H, W, 3) uint8 frames, but frame {i} is {frame.shape} {frame.dtype}.")
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ValueError(f"The frames of a film have one size, but frame {i} is {frame.shape} after {shape}.")
        h, w, _ = shape
        yield np.pad(frame, ((0, h % 2), (0, w % 2), (0, 0)), mode="edge") if h % 2 or w % 2 else frame
    if shape is None:
        raise ValueError("A film needs at least one frame.")


def _encode(path, frames, fps):
    with tempfile.TemporaryFile() as log, _writer_class()(str(path), log, fps) as writer:
        for frame in frames:
            try:
                writer.writeFrame(frame)
            except OSError:
                break  # ffmpeg has given up; why stands in the log
        if writer.close() != 0:
            log.seek(0)
            raise RuntimeError(f"ffmpeg could not write the film: {log.read().decode(errors='replace').strip()}")


@functools.cache
def _writer_class():
    """scikit-video's writer, fitted to today's numpy and to the ffmpeg of imageio-ffmpeg.

    A class made on demand: importing scikit-video takes as long as importing all of pusht.
    """
    import imageio_ffmpeg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it still imports scipy.misc, and scipy complains
        import skvideo.io

    class Frames(np.ndarray):
        def tostring(self):  # what scikit-video calls; numpy dropped the name in 2.3
            return self.tobytes()

    class Writer(skvideo.io.FFmpegWriter):
        def __init__(self, path, log, fps):
            self._log, self._proc, self._cmd = log, None, "ffmpeg"
            # Past FFmpegWriter's own __init__, which only insists that ffmpeg and ffprobe were on PATH at import.
            super(skvideo.io.FFmpegWriter, self).__init__(path, inputdict={"-r": str(fps)}, outputdict={
                "-c:v": "libx264", "-pix_fmt": "yuv420p", "-crf": "18", "-movflags": "+faststart"})

        def _getSupportedEncoders(self):
            return [b".mp4"]  # without an ffmpeg on PATH it knows of none

        def _createProcess(self, inputdict, outputdict, verbosity):
            command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *self._dict2Args(inputdict),
                       "-i", "-", *self._dict2Args(outputdict), self._filename]
            self._proc = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.DEVNULL, stderr=self._log)

        def _prepareData(self, data):
            return data.view(Frames)

        def close(self):
            """End the film; ffmpeg's exit status, which scikit-video's own close keeps to itself."""
            self.DEVNULL.close()
            if self._proc is not None:
                self._proc.communicate()
                return self._proc.returncode

    return Writer
