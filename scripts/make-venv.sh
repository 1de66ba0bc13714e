#!/usr/bin/env bash
# Makes the virtual environment in the folder that is named, with the newest Python from 3.11 on that really runs.
set -euo pipefail
target=$1
here=$(cd "$(dirname "$0")" && pwd)

# A name on the PATH may be a shim without the interpreter behind it: only running it tells.
find_python() {
    for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
}

python=$(find_python)
if [ -z "$python" ] && command -v apt-get >/dev/null; then
    "$here/system-libraries.sh" python
    python=$(find_python)
fi
if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed and none was found. Install it and start again," >&2
    echo "or say where it is: make PYTHON=/path/to/python3 …" >&2
    exit 1
fi

# Debian's python3 has no ensurepip until python3-venv is installed.
if ! "$python" -c 'import ensurepip' >/dev/null 2>&1; then
    "$here/system-libraries.sh" python
fi

echo "Making $target with $("$python" --version)"
trap 'rm -rf "$target"' EXIT # half an environment would be taken for a whole one
"$python" -m venv --clear "$target"
trap - EXIT
