#!/usr/bin/env bash
# Sees to it that the system libraries which no Python package brings are there.
#
#   scripts/system-libraries.sh GROUP...     groups: python offscreen window odbc freeze node
#
# Asks dpkg (or the linker's cache, where there is no dpkg) first: nothing missing, nothing done. As root on a Debian or
# Ubuntu the missing ones are installed; anybody else is told the exact command, and the script ends with 1.
# SKIP_SYSTEM_LIBRARIES=1 goes on in any case.
set -euo pipefail

# package and the library (or, with a slash, the file) that shows it is there where dpkg cannot be asked
python="python3=/usr/bin/python3 python3-venv=/usr/bin/python3"
offscreen="libgl1=libGL.so.1 libegl1=libEGL.so.1 libxkbcommon0=libxkbcommon.so.0 libfontconfig1=libfontconfig.so.1
           libdbus-1-3=libdbus-1.so.3 libglib2.0-0=libglib-2.0.so.0"
window="libxcb-cursor0=libxcb-cursor.so.0 libxcb-icccm4=libxcb-icccm.so.4 libxcb-keysyms1=libxcb-keysyms.so.1
        libxcb-shape0=libxcb-shape.so.0 libxcb-xkb1=libxcb-xkb.so.1 libxkbcommon-x11-0=libxkbcommon-x11.so.0
        libxcb-randr0=libxcb-randr.so.0 libxcb-xfixes0=libxcb-xfixes.so.0 libxcb-sync1=libxcb-sync.so.1
        libxcb-image0=libxcb-image.so.0 libxcb-render-util0=libxcb-render-util.so.0"
odbc="libodbc2=libodbc.so.2"
freeze="binutils=/usr/bin/objdump"
node="npm=/usr/bin/npm"

[ "$(uname -s)" = Linux ] || exit 0
[ -z "${SKIP_SYSTEM_LIBRARIES:-}" ] || exit 0

wanted=()
for group in "$@"; do
    # shellcheck disable=SC2206  # the groups are lists of words
    wanted+=(${!group})
done

if command -v dpkg-query >/dev/null; then
    names=("${wanted[@]%%=*}")
    # Since Debian 13 and Ubuntu 24.04 some of them end in t64: they provide the old name.
    here=$(dpkg-query -W -f='${db:Status-Status} ${Package} ${Provides}\n' | awk '$1 == "installed"' | tr -s ' ,()=' '\n' | sort -u)
    missing=$(comm -23 <(printf '%s\n' "${names[@]}" | sort -u) <(printf '%s\n' "$here"))
else
    missing=""
    libraries=$(ldconfig -p 2>/dev/null || /sbin/ldconfig -p)
    for entry in "${wanted[@]}"; do
        shows=${entry#*=}
        case $shows in
            /*) [ -e "$shows" ] || missing+="${entry%%=*} " ;;
            *) grep -qF "$shows" <<<"$libraries" || missing+="${entry%%=*} " ;;
        esac
    done
fi
missing=$(echo $missing)
[ -n "$missing" ] || exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing system libraries: $missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 ||
        { apt-get update -q >/dev/null && apt-get install -y -q --no-install-recommends $missing >/dev/null; }
elif command -v apt-get >/dev/null; then
    echo "System libraries are missing. Install them with" >&2
    echo "    sudo apt-get update && sudo apt-get install $missing" >&2
    echo "and start again (SKIP_SYSTEM_LIBRARIES=1 goes on without them)." >&2
    exit 1
else
    echo "System libraries are missing; on Debian they are called: $missing" >&2
    echo "Install what your system calls them and start again (SKIP_SYSTEM_LIBRARIES=1 goes on without them)." >&2
    exit 1
fi
