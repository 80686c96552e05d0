#!/bin/sh
# Make a virtual environment hold exactly what a hashed lock names; quick when it does already.
#   environment.sh DIRECTORY LOCK [PYTHON]
# Run before anything is installed, so it needs a POSIX shell and a Python only.
set -eu
venv=$1
lock=$2
python=${3:-python3}
stamp="$venv/.$(basename "$lock")"

fail() {
    echo "$1" >&2
    exit 1
}

cmp -s "$lock" "$stamp" && "$venv/bin/python" -c '' 2>/dev/null && exit 0

command -v "$python" >/dev/null || fail "There is no $python. Name one of 3.11 or newer: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Ebbtide needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Name another: make PYTHON=/path/to/python3"

begun=$(date +%s)
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$venv" # half made, or of an interpreter that is gone
    "$python" -m venv "$venv" >/dev/null || {
        rm -rf "$venv"
        fail "$python can't make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv), or name another: make PYTHON=/path/to/python3"
    }
fi

total=$(grep -c '^[A-Za-z0-9]' "$lock")
echo "Installing the $total packages of $lock into $venv (once; a minute or two)"
live=0
[ -t 1 ] && live=1
output="$venv/install.log"
# The lock is complete: there is nothing to resolve. What fails is said by pip itself.
{ "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off \
    --require-hashes --no-deps -r "$lock" 2>&1 && echo installed; } | tee "$output" | awk -v total="$total" -v live="$live" '
    live && /^Collecting/ { n++; printf "\r\033[K  %d of %d  %s", n, total, $2; fflush() }
    live && /^Requirement already/ { n++ }
    live && /^Installing collected/ { printf "\r\033[K  unpacking"; fflush() }
    END { if (live) printf "\r\033[K" }'
[ "$(tail -n 1 "$output")" = installed ] || {
    grep -v '^\(Collecting\|Requirement\|  \)' "$output" | tail -n 20 >&2
    fail "The packages could not be installed; all that pip said is in $output"
}
cp "$lock" "$stamp"
echo "Installed in $(($(date +%s) - begun)) s"
