import importlib.metadata
import importlib.util
import io
import os
import pathlib
import subprocess
import sys
import urllib.request
import zipfile

BUNDLE = "{{bundle}}"  # the address of your course's kit
folders = [
    folder
    for folder in (pathlib.Path.cwd(), pathlib.Path.cwd().parent)
    if os.access(folder / "pusht" / "__init__.py", os.R_OK)
]
problem = (
    "The kit was not found: open this notebook inside the kit's folder, or ask your instructor."
)
try:
    installed = importlib.util.find_spec("pusht")
except PermissionError as error:
    installed = None
    problem = f"The kit is in {error.filename}, which you may not read: ask your instructor."
if not folders and (installed is None or installed.origin is None):
    if not BUNDLE:
        sys.exit(problem)
    try:
        zipfile.ZipFile(io.BytesIO(urllib.request.urlopen(BUNDLE).read())).extractall(".")
    except (OSError, zipfile.BadZipFile) as error:
        sys.exit(
            f"The kit cannot be downloaded from {BUNDLE} ({error}): run this cell again,"
            " or ask your instructor."
        )
    folders = [pathlib.Path.cwd()]
sys.path[:0] = [str(folder) for folder in folders if str(folder) not in sys.path]
try:
    import pusht.resources

    os.listdir(pusht.resources.path("data"))
except ModuleNotFoundError:  # a new Colab runtime; its torch and numpy are kept
    kept = [
        f"{name}=={importlib.metadata.version(name)}"
        for name in ("torch", "numpy")
        if importlib.util.find_spec(name)
    ]
    install = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    requirements = str(folders[0] / "requirements.txt")
    subprocess.run([*install, "-r", requirements, *kept], check=True)
    importlib.invalidate_caches()
except PermissionError as error:
    sys.exit(f"The kit is in {error.filename}, which you may not read: ask your instructor.")
