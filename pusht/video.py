"""Write films with scikit-video and the ffmpeg of imageio-ffmpeg, and show them in notebooks."""

import functools
import html
import os
import subprocess
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pusht.files import replacing

if TYPE_CHECKING:
    from IPython.display import Video

# Every browser plays H.264 with 4:2:0 colour. With the index at the front, a film starts to play
# before it has been loaded completely.
_ENCODING = {
    "-c:v": "libx264",
    "-pix_fmt": "yuv420p",
    "-preset": "veryfast",
    "-movflags": "+faststart",
    "-f": "mp4",
}


def write_video(
    path: str | os.PathLike[str], frames: Iterable[np.ndarray], *, fps: int = 10
) -> Path:
    """Write frames, each (H, W, 3) uint8 RGB, as an H.264 film at `path` (.mp4); return the path.

    If the height or width is odd, the last row or column is repeated. ValueError when there are no
    frames or they differ in size, OSError with ffmpeg's message when it cannot write.
    """
    path = Path(path)
    with replacing(path) as beside:
        rate = {"-r": str(fps)}
        writer = _writer()(str(beside), inputdict={**rate}, outputdict={**_ENCODING, **rate})
        try:
            _write_frames(writer, frames)
            _finish(writer)
        finally:
            _stop(writer)
    return path


def show_video(path: str | os.PathLike[str], *, width: int = 256) -> "Video":
    """Return a player of the film for the end of a cell; the film is embedded in the notebook."""
    from IPython.display import Video

    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no film {path}: run the cell that writes it first.")
    label = html.escape(f"The film {Path(path).name}")
    return Video(
        str(path),
        embed=True,
        width=width,
        html_attributes=f'controls loop muted autoplay aria-label="{label}"',
    )


def _write_frames(writer: Any, frames: Iterable[np.ndarray]) -> None:
    shape = None
    for frame in frames:
        frame = np.asarray(frame)
        if (
            frame.ndim != 3
            or frame.shape[2] != 3
            or frame.dtype != np.uint8
            or shape not in (None, frame.shape)
        ):
            raise ValueError(
                "A film needs frames (H, W, 3) uint8, all of the same size; this one is"
                f" {frame.shape} {frame.dtype}."
            )
        shape = frame.shape
        even = np.pad(frame, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), mode="edge")
        try:
            writer.writeFrame(even)
        except OSError:
            return  # ffmpeg has given up; `_finish` says why
    if shape is None:
        raise ValueError("A film needs at least one frame.")


def _finish(writer: Any) -> None:
    """Wait until ffmpeg has written everything."""
    process = writer._proc
    try:
        _, errors = process.communicate()
    except BrokenPipeError:
        errors = process.stderr.read()
        process.wait()
    if process.returncode:
        reason = errors.decode(errors="replace").strip()
        raise OSError(f"ffmpeg could not write the film: {reason}")


def _stop(writer: Any) -> None:
    """Kill ffmpeg if it is still running."""
    process = getattr(writer, "_proc", None)
    if process is not None and process.poll() is None:
        process.kill()
        process.communicate()
    writer.DEVNULL.close()


@functools.cache
def _writer() -> Any:
    """Return scikit-video's writer, adapted to the ffmpeg of imageio-ffmpeg and to numpy 2, which
    has no `tostring`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its imports cause warnings that the reader cannot fix
        from skvideo.io import FFmpegWriter
    import imageio_ffmpeg

    class Frames(np.ndarray):
        def tostring(self) -> bytes:
            return self.tobytes()

    class Writer(FFmpegWriter):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # FFmpegWriter.__init__ would search the PATH for ffmpeg and ffprobe.
            super(FFmpegWriter, self).__init__(*args, **kwargs)

        def _getSupportedEncoders(self) -> Any:
            return NotImplemented

        def _createProcess(
            self, inputdict: dict[str, str], outputdict: dict[str, str], verbosity: int
        ) -> None:
            self._cmd = [
                imageio_ffmpeg.get_ffmpeg_exe(),
                *("-y", "-loglevel", "error"),
                *self._dict2Args(inputdict),
                *("-i", "-"),
                *self._dict2Args(outputdict),
                self._filename,
            ]
            self._proc = subprocess.Popen(
                self._cmd,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )

        def _prepareData(self, data: np.ndarray) -> np.ndarray:
            return data.view(Frames)

    return Writer
