"""Films: frames are written by scikit-video, with the ffmpeg that imageio-ffmpeg carries, and shown
in notebooks.
"""

import functools
import html
import os
import subprocess
import warnings
from pathlib import Path

import numpy as np

# H.264 with 4:2:0 colour is what every browser plays; the index in front lets it begin before all
# is there.
_ENCODING = {
    "-c:v": "libx264",
    "-pix_fmt": "yuv420p",
    "-preset": "veryfast",
    "-movflags": "+faststart",
}


def write_video(path, frames, *, fps=10):
    """Write frames, each (H, W, 3) uint8 RGB, as an H.264 film at `path` (.mp4) and return the
    path.

    Odd sides grow by a repeated row or column. ValueError when there is no frame or they are not
    alike, OSError with ffmpeg's own words when it cannot write.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    writer = _writer()(
        str(part), inputdict={"-r": str(fps)}, outputdict={**_ENCODING, "-r": str(fps)}
    )
    shape = None
    try:
        for frame in frames:
            frame = np.asarray(frame)
            if (
                frame.ndim != 3
                or frame.shape[2] != 3
                or frame.dtype != np.uint8
                or shape not in (None, frame.shape)
            ):
                raise ValueError(
                    f"A film needs frames (H, W, 3) uint8, all alike; here is one {frame.shape}"
                    f" {frame.dtype}."
                )
            shape = frame.shape
            try:
                writer.writeFrame(
                    np.pad(frame, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), mode="edge")
                )
            except OSError:
                break  # ffmpeg has given up; `finish` says why
        if shape is None:
            raise ValueError("A film needs at least one frame.")
        writer.finish()
        os.replace(part, path)
    finally:
        writer.close()
        part.unlink(missing_ok=True)
    return path


def show_video(path, *, width=256):
    """The film as a player for the end of a notebook's cell, embedded, so that it stays in the
    saved notebook.
    """
    from IPython.display import Video

    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no film {path}: run the cell that writes it first.")
    return Video(
        str(path),
        embed=True,
        width=width,
        html_attributes=(
            "controls loop muted autoplay"
            f' aria-label="{html.escape(f"The film {Path(path).name}")}"'
        ),
    )


@functools.cache
def _writer():
    """scikit-video's writer, taught where ffmpeg is and that numpy's `tostring` is now `tobytes`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports, nothing a reader could mend
        from skvideo.io import FFmpegWriter
    import imageio_ffmpeg

    class Frames(np.ndarray):
        def tostring(self):
            return self.tobytes()

    class Writer(FFmpegWriter):
        def __init__(self, *args, **kwargs):
            super(FFmpegWriter, self).__init__(
                *args, **kwargs
            )  # without its search of the PATH for ffmpeg and ffprobe

        def _getSupportedEncoders(self):
            return NotImplemented

        def _createProcess(self, inputdict, outputdict, verbosity):
            self._cmd = [
                imageio_ffmpeg.get_ffmpeg_exe(),
                "-y",
                "-loglevel",
                "error",
                *self._dict2Args(inputdict),
                "-i",
                "-",
                *self._dict2Args(outputdict),
                self._filename,
            ]
            self._proc = subprocess.Popen(
                self._cmd, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )

        def _prepareData(self, data):
            return data.view(Frames)

        def finish(self):
            try:
                _, said = self._proc.communicate()
            except BrokenPipeError:
                said = self._proc.stderr.read()
                self._proc.wait()
            if self._proc.returncode:
                raise OSError(
                    f"ffmpeg could not write the film: {said.decode(errors='replace').strip()}"
                )

        def close(self):
            if getattr(self, "_proc", None) is not None and self._proc.poll() is None:
                self._proc.kill()
                self._proc.communicate()
            self.DEVNULL.close()

    return Writer
