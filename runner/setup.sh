#!/bin/sh
# Create the environment .venv/ from a lock, every package by its hash. If this was done before, it does nothing and
# needs no network. If it is interrupted, the next call repeats it: the stamp, a copy of the lock, is written last.
#
#     runner/setup.sh         what a user needs: requirements.txt
#     runner/setup.sh dev     what a developer needs in addition: requirements-dev.txt
#     runner/setup.sh packages NAME    after one of these: what the use case NAME adds, usecases/NAME/requirements.txt
#
# PYTHON: the Python to create it with, as a command or a path; by default, the newest suitable one on the PATH.
#
# Exits 0 done, 2 this machine has no Python that the locked packages have wheels for (and says what to run), 1 the
# packages could not be installed.
set -eu

cd "$(dirname "$0")/.."
venv=.venv
stamp=$venv/locked-requirements.txt
log=$venv/install.log
everything=requirements-dev.txt
lock=requirements.txt
[ "${1:-}" != dev ] || lock=$everything
if [ "${1:-}" = packages ]; then
    lock=usecases/$2/requirements.txt
    stamp=$venv/locked-packages.txt # only one use case at a time: another one may need other versions
    log=$venv/packages.log
    [ -f "$lock" ] || exit 0
fi

say() { printf '%s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$1" >&2
    printf 'hint: %s\n' "$2" >&2
    exit 2
}

# Check a Python: 3.11 to 3.13, with venv and ensurepip, and on a Mac not for Intel (not even under Rosetta), because
# TensorFlow has no such wheels. Print `ok`, or in one word what is missing.
# shellcheck disable=SC2016
probe='
import platform, sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(print("version"))
if sys.platform == "darwin" and platform.machine() == "x86_64":
    sys.exit(print("intel"))
if "t" in getattr(sys, "abiflags", ""):
    sys.exit(print("freethreaded"))
try:
    import ensurepip, venv
except ImportError:
    sys.exit(print("venv"))
print("ok")
'

version='import sys; print(*sys.version_info[:2])'

# Remove variables that could mislead Python or pip. Keep those that say where packages come from.
seal() {
    unset PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUSERBASE PYTHONSAFEPATH __PYVENV_LAUNCHER__ VIRTUAL_ENV
    for name in $(env | sed -n 's/^\(PIP_[A-Z_]*\)=.*/\1/p'); do
        case $name in
        PIP_INDEX_URL | PIP_EXTRA_INDEX_URL | PIP_FIND_LINKS | PIP_NO_INDEX | PIP_TRUSTED_HOST | PIP_CERT) ;;
        PIP_CLIENT_CERT | PIP_PROXY | PIP_DEFAULT_TIMEOUT | PIP_TIMEOUT | PIP_RETRIES | PIP_CONFIG_FILE) ;;
        PIP_CACHE_DIR | PIP_NO_CACHE_DIR | PIP_KEYRING_PROVIDER) ;;
        *) unset "$name" ;;
        esac
    done
    # A pip.conf may say `user = true`, which does not work in an environment.
    export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
}

# Find the first suitable Python on the PATH. A command may exist but not run (pyenv's shims), and exist again in a later
# folder, so this tries every folder of the PATH. $shortcomings gets what the others lack, and $without_venv the name of
# the first one that lacks only venv.
find_python() {
    shortcomings=
    without_venv=
    if [ -n "${PYTHON:-}" ]; then
        [ "$("$PYTHON" -I -c "$probe" 2>/dev/null)" = ok ] || fail "PYTHON=$PYTHON cannot create the environment" \
            'use a Python 3.11, 3.12 or 3.13 that has venv, or leave out PYTHON'
        python=$PYTHON
        return 0
    fi
    for name in python3.13 python3.12 python3.11 python3; do
        old_ifs=$IFS
        IFS=:
        for folder in $PATH; do
            IFS=$old_ifs
            [ -x "${folder:-.}/$name" ] || continue
            answer=$("${folder:-.}/$name" -I -c "$probe" 2>/dev/null) || answer=
            if [ "$answer" = ok ]; then
                python=${folder:-.}/$name
                return 0
            fi
            shortcomings="$shortcomings $answer"
            [ "$answer" != venv ] || without_venv=${without_venv:-$name}
        done
        IFS=$old_ifs
    done
    return 1
}

# Say in one sentence what to run on this system.
refuse() {
    if [ "$(uname -s)" = Darwin ] && [ "$(uname -m)" = x86_64 ] && [ "$(sysctl -n hw.optional.arm64 2>/dev/null)" != 1 ]; then
        fail 'TensorFlow has no wheels for Macs with an Intel processor' \
            'run modelgate in a Linux container or virtual machine (x86-64), or on a Mac with Apple silicon'
    fi
    case $shortcomings in
    *venv*) fail 'Python is installed, but without venv and ensurepip' "$(how_to_get venv)" ;;
    *intel*) fail 'this Python is built for Intel, and TensorFlow has no wheels for it on a Mac' "$(how_to_get python)" ;;
    *freethreaded*) fail 'this Python is the free-threaded build, and TensorFlow has no wheels for it' "$(how_to_get python)" ;;
    *version*) fail 'Python 3.11, 3.12 or 3.13 is required (TensorFlow has no wheels for others), but only others are installed' "$(how_to_get python)" ;;
    esac
    fail 'Python 3.11, 3.12 or 3.13 is required, but there is none on the PATH' "$(how_to_get python)"
}

how_to_get() {
    if command -v apt-get >/dev/null 2>&1; then
        name=$(apt_python)
        if [ "$1" = venv ]; then
            say "run: sudo apt install $without_venv-venv   (then make again)"
        elif [ -n "$name" ]; then
            say "run: sudo apt install $name $name-venv   (then make again)"
        else
            say 'this Debian or Ubuntu has no such Python; run: curl -LsSf https://astral.sh/uv/install.sh | sh   (then make again, in a new terminal)'
        fi
    elif command -v dnf >/dev/null 2>&1; then
        say 'run: sudo dnf install python3.13   (then make again)'
    elif command -v brew >/dev/null 2>&1; then
        say 'run: brew install python@3.13   (then make again)'
    else
        say 'install uv, which comes with its own Python: curl -LsSf https://astral.sh/uv/install.sh | sh   (then make again, in a new terminal)'
    fi
}

apt_python() {
    for name in python3.13 python3.12 python3.11; do
        if apt-cache policy "$name" 2>/dev/null | grep -q 'Candidate: [0-9]'; then
            say "$name"
            return
        fi
    done
}

venv_runs() { is_of_the_chosen_python && "$venv/bin/python" -I -c "$probe" 2>/dev/null | grep -q -e ok -e venv; }

is_of_the_chosen_python() {
    [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -I -S -c "$version")" = "$("$venv/bin/python" -I -S -c "$version" 2>/dev/null)" ]
}

by_pip() {
    if ! venv_runs || ! "$venv/bin/python" -I -m pip --version >/dev/null 2>&1; then
        say "creating $venv with $python"
        "$python" -I -m venv --clear "$venv" || return 1
    fi
    get_uv || say 'uv could not be installed; using pip instead, which takes longer'
    install
}

# Install uv into the environment, in the version and with the hashes of the lock. A lock without uv is left to pip.
get_uv() {
    [ ! -x "$venv/bin/uv" ] || return 0
    sed -n -e '/^uv==/!d' -e ':line' -e p -e '/\\$/!q' -e n -e 'b line' "$lock" >"$venv/uv.txt"
    [ ! -s "$venv/uv.txt" ] ||
        "$venv/bin/python" -I -m pip install -q --retries 1 --no-deps --require-hashes -r "$venv/uv.txt" >"$log" 2>&1
}

# Install the lock with the environment's uv: this takes half of pip's processor time. Bytecode is compiled here, because
# later the environment may be read-only, or PYTHONDONTWRITEBYTECODE may be set. Without uv, if uv does not support one of
# pip's settings, or if it fails, pip installs the lock, and shows its errors.
install() {
    if [ -x "$venv/bin/uv" ]; then
        if ! settings=$("$venv/bin/python" -I runner/uv_settings.py 2>/dev/null); then
            say "using pip, because uv does not support these settings: $settings"
        elif install_with_uv "$@"; then
            return 0
        else
            cp "$log" "$venv/uv.log"
            say "uv could not install $lock (see $venv/uv.log); trying pip"
        fi
    fi
    quietly "$venv/bin/python" -I -m pip install --progress-bar off --require-hashes "$@" -r "$lock" || complain
}

# Copies, not links into uv's cache, so that a changed file in this environment does not get into the next ones.
# Any index may have any package, as with pip; the lock's hash decides.
install_with_uv() (
    for name in $(env | sed -n 's/^\(UV_[A-Z_]*\)=.*/\1/p'); do
        [ "$name" = UV_CACHE_DIR ] || unset "$name"
    done
    no_index=
    eval "$settings"
    quietly "$venv/bin/uv" pip install --no-config --python "$venv/bin/python" --link-mode copy ${no_index:+--no-index} \
        --index-strategy unsafe-best-match --compile-bytecode --require-hashes "$@" -r "$lock"
)

by_uv() {
    unset UV_PYTHON UV_SYSTEM_PYTHON UV_PROJECT_ENVIRONMENT
    if ! venv_runs; then
        say "creating $venv with uv"
        rm -rf "$venv"
        uv venv --python ">=3.11,<3.14" "$venv" || return 1
    fi
    quietly uv pip sync --python "$venv/bin/python" --require-hashes "$lock" || complain
}

add_packages() {
    if "$venv/bin/python" -I -c 'import pip' 2>/dev/null; then
        install --no-deps
    else
        quietly uv pip install --python "$venv/bin/python" --no-deps --require-hashes -r "$lock" || complain
    fi
}

# Run an installer and write its output to the log. One line shows what it does.
quietly() {
    say "installing $lock into $venv (the first time takes minutes)"
    : >"$log"
    show_progress &
    shown=$!
    code=0
    "$@" >"$log" 2>&1 || code=$?
    kill "$shown" 2>/dev/null || :
    wait "$shown" 2>/dev/null || :
    [ ! -t 1 ] || printf '\r%79s\r' ''
    return "$code"
}

# Show the errors in the log of an installer that failed.
complain() {
    grep -v -E "$ROUTINE" "$log" >&2 || :
    return 1
}

# What pip prints for each package if all is well.
ROUTINE='^ *(Collecting|Downloading|Using cached|Processing|Looking in|Requirement already satisfied|Saved) '

# Runs next to the installer and ends with this script: on a terminal, one line that changes; otherwise a line now and
# then.
show_progress() {
    all=$(grep -c '^[A-Za-z0-9]' "$lock") || all=0
    seconds=0
    while sleep 1 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        seconds=$((seconds + 1))
        done=$(grep -c -E '^(Collecting|Processing|Requirement already satisfied| Downloaded)' "$log") || done=0
        now=$(sed -n -E 's/^ *((Collecting|Downloading|Installing|Prepared) .*)/\1/p' "$log" | sed -n '$p')
        line="  $seconds s, $done of at most $all packages${now:+: $now}"
        case $now in Installing*) line="  $seconds s, unpacking $done packages" ;; esac
        if [ -t 1 ]; then
            printf '\r%-79.79s' "$line"
        elif [ $((seconds % 20)) = 0 ]; then
            printf '%.100s\n' "$line"
        fi
    done
}

if { cmp -s "$lock" "$stamp" || cmp -s "$everything" "$stamp"; } && is_of_the_chosen_python &&
    "$venv/bin/python" -I -S -c '' 2>/dev/null; then
    exit 0
fi
seal
rm -f "$stamp" "$venv/locked-packages.txt"
if [ -L "$venv" ] && [ ! -e "$venv" ]; then
    fail "$venv is a link to a folder that does not exist" "make that folder, or remove the link: rm $venv"
fi
if [ -e /etc/alpine-release ]; then
    fail 'TensorFlow has no wheels for Alpine (musl)' 'use a system with glibc, such as Debian'
fi
if [ "${1:-}" = packages ]; then
    add_packages
elif find_python; then
    by_pip
elif command -v uv >/dev/null 2>&1; then
    by_uv
else
    refuse
fi || {
    printf 'error: the packages could not be installed; see the messages above\n' >&2
    printf 'hint: this needs a package index (PyPI, or yours in PIP_INDEX_URL); then type make again. Full log: %s\n' "$log" >&2
    exit 1
}
cp "$lock" "$stamp.part"
mv "$stamp.part" "$stamp"
say "$venv is ready"
