#!/usr/bin/env bash
# Makes the virtual environment in the folder that is named, with the newest Python from 3.11 on that really runs.
set -euo pipefail
target=$1
here=$(cd "$(dirname "$0")" && pwd)

python=""
for candidate in ${PYTHON:-} python3.13 python3.12 python3.11 python3.14 python3; do
    # a name on the PATH may be a shim without the interpreter behind it: only running it tells
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed and none was found. Install it (Debian: sudo apt-get install python3 python3-venv)" >&2
    echo "or name it: make PYTHON=/path/to/python3 …" >&2
    exit 1
fi

# Debian's python3 has no ensurepip until python3-venv is installed.
if ! "$python" -c 'import ensurepip' >/dev/null 2>&1; then
    "$here/system-libraries.sh" venv
fi

echo "Making $target with $("$python" --version)"
"$python" -m venv --clear "$target"
