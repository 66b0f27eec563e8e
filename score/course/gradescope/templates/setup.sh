#!/usr/bin/env bash
# Gradescope runs this once as root, when it builds the image (Ubuntu 22.04 or later, or Debian 12).
# It creates a Python environment in /opt/pusht with the kit's packages at the versions of
# requirements.lock, and with PyTorch's build for machines without a GPU.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# The environment is not in root's home, because students' code runs as another user.
kit=${PUSHT_SOURCE:-/autograder/source}/kit venv=${PUSHT_VENV:-/opt/pusht}

apt-get update
for version in 3.11 3.12 3.13; do
    # If this Python is already there, nothing needs to be installed.
    "python$version" -c 'import ensurepip' 2>/dev/null ||
        apt-get install -y --no-install-recommends "python$version" "python$version-venv" ||
        continue
    python=python$version
    break
done
if [ -z "${python:-}" ]; then
    echo "There is no Python 3.11 or later: choose Ubuntu 22.04 or later as the base image." >&2
    exit 1
fi
apt-get install -y --no-install-recommends bubblewrap ||
    echo "There is no bubblewrap: students' code will run as a separate user."

"$python" -m venv --clear "$venv"
"$venv/bin/pip" install --no-deps --index-url https://download.pytorch.org/whl/cpu \
    "$(grep '^torch==' "$kit/requirements.lock")"
# packages.txt has the packages that course.toml names, for submissions that import them.
"$venv/bin/pip" install -c "$kit/requirements.lock" -e "$kit[instructor]" \
    -r "$kit/../course/packages.txt"
"$venv/bin/python" -m compileall -q "$kit/pusht" "$kit/score"
"$venv/bin/python" -c 'import torch, nbgrader.apps, pusht, score.course.gradescope.run'
