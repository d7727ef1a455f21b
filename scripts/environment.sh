# shellcheck shell=bash
# Sourced by scripts/demo, scripts/test and .ci/run: makes .venv in the checkout and installs
# gansweep into it, in the exact versions of constraints.txt. A second call takes no time.
#
#   prepare_environment run     the packages of the demo
#   prepare_environment dev     these, and the packages of the tests
#
# Sets: root (the checkout), environment (its .venv).

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
environment=$root/.venv

# Set in many containers, it would have every process compile PyTorch and Lightning anew: 10 s each.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*" >&2; }

give_up() {
    say "error: $*"
    exit 1
}

# Prints the first Python that can make an environment, or explains why none can.
find_python() {
    local candidate too_old='' no_venv=''
    for candidate in python3 python3.13 python3.12 python3.11 python3.10 python; do
        "$candidate" -c '' 2>/dev/null || continue
        if ! "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
            too_old=$("$candidate" -V 2>&1)
        elif ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            no_venv=$("$candidate" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        else
            command -v "$candidate"
            return
        fi
    done
    if [ -n "$no_venv" ]; then
        give_up "$no_venv cannot make virtual environments: apt install $no_venv-venv (Debian, Ubuntu), then run this again."
    elif [ -n "$too_old" ]; then
        give_up "gansweep needs Python 3.10 or newer, and the newest found is $too_old: install one, with its venv module, and put it on PATH."
    fi
    give_up "no Python found: install Python 3.10 or newer, with its venv module, and put it on PATH."
}

# A checksum of the files that an environment is made from. It is made again when one changes.
fingerprint() {
    {
        cat "$root/pyproject.toml" "$root/constraints.txt"
        readlink -f "$environment/bin/python"
        printf '%s\n' "$environment"
    } | cksum
}

# Prints the installed level, "run" or "dev"; nothing if the checksum has changed since.
installed_level() {
    local level
    for level in dev run; do
        if [ "$(cat "$environment/installed-$level" 2>/dev/null)" = "$(fingerprint)" ] &&
            [ -x "$environment/bin/gansweep" ]; then
            printf '%s\n' "$level"
            return
        fi
    done
}

is_ready() {
    local level
    level=$(installed_level)
    [ "$level" = dev ] || [ "$level" = "$1" ]
}

# The environment takes 6 GiB. The downloads take 3 GiB more until they are unpacked.
check_disk() {
    local free_gib
    free_gib=$(df -Pk "$root" | awk 'NR == 2 { print int($4 / 1024 / 1024) }')
    if [ "$free_gib" -lt 9 ]; then
        give_up "$free_gib GiB free in $root, and the installation needs 9 GiB (PyTorch with its CUDA libraries is most of it): free some, or move the checkout to a larger disk."
    elif [ "$free_gib" -lt 13 ]; then
        export PIP_NO_CACHE_DIR=1 # pip's cache takes another 3 GiB, perhaps on the same disk
    fi
}

# Runs pip with its progress on the terminal. A failure is explained in one line.
# The constraints are variables, because those also apply to packages that pip builds in isolation.
run_pip() (
    log=$environment/pip.log
    : >"$log"
    cd "$root" || exit
    export PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt
    TMPDIR=$environment/tmp "$environment/bin/python" -m pip --disable-pip-version-check \
        --log "$log" "$@" && exit
    rm -f "$environment/incomplete" # pip has cleaned up: the next call can use this environment
    if grep -qE 'No space left on device|Errno 28' "$log"; then
        give_up "the disk of $root is full: free 9 GiB and run this again."
    elif grep -qE 'Permission denied|Errno 13' "$log"; then
        give_up "no permission to write in $environment: see $log."
    elif grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|ConnectionError|No matching distribution found|ResolutionImpossible' "$log"; then
        give_up "pip found no package index, or not the pinned versions there: connect to the network, or name a mirror (PIP_INDEX_URL=URL) or a folder of wheels (PIP_NO_INDEX=1 PIP_FIND_LINKS=DIR)."
    fi
    give_up "pip could not install gansweep: see $log."
)

# uv installs in a third of pip's time. Where it cannot, pip does, or explains why nothing can.
install_packages() {
    run_uv pip install --editable "$1" && return
    # --no-compile: few of the 17,000 modules are ever imported
    run_pip install --no-compile --editable "$1"
}

# Runs uv with the index that pip was told of; fails at once where pip was told to use none.
run_uv() (
    [ -z "${PIP_NO_INDEX:-}" ] || exit 1
    cd "$root" || exit
    "$environment/bin/python" -m pip --disable-pip-version-check install -qqq --retries 1 uv \
        2>/dev/null || exit 1
    index=${PIP_INDEX_URL:-$("$environment/bin/python" -m pip config get global.index-url 2>/dev/null)}
    [ -z "$index" ] || export UV_DEFAULT_INDEX=$index
    [ -z "${PIP_NO_CACHE_DIR:-}" ] || export UV_CACHE_DIR=$environment/tmp/uv # removed with it
    export UV_CONSTRAINT=constraints.txt UV_BUILD_CONSTRAINT=constraints.txt VIRTUAL_ENV=$environment
    TMPDIR=$environment/tmp "$environment/bin/uv" "$@"
)

make_environment() {
    local python
    if [ -e "$environment/incomplete" ] || { [ -e "$environment" ] &&
        ! "$environment/bin/python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }; then
        say "[1/4] Removing a half-made or outdated $environment"
        rm -rf "$environment"
    fi
    if [ ! -e "$environment" ]; then
        python=$(find_python)
        check_disk
        say "[1/4] Making $environment with $("$python" -V)"
        "$python" -m venv "$environment" || {
            rm -rf "$environment"
            give_up "$python -m venv failed: see above."
        }
    fi
}

install_gansweep() {
    mkdir -p "$environment/tmp"
    rm -f "$environment"/installed-*
    : >"$environment/incomplete"
    say "[2/4] Asking the package index"
    # a small download first, so that a missing network is reported at once
    run_pip download -qqq --retries 1 --no-deps --dest "$environment/tmp" hatchling
    say "[3/4] Installing gansweep and its dependencies (about 3 GB to download the first time)"
    if [ "$1" = dev ]; then
        install_packages '.[dev]'
    else
        install_packages .
    fi
    # those that training imports are compiled now, for who runs it where nothing may be written
    "$environment/bin/python" -c 'import gansweep.run.train, optuna, wandb' || give_up "gansweep was installed and cannot be imported: see above."
    fingerprint >"$environment/installed-$1"
    rm -rf "$environment/tmp" "$environment/incomplete"
    say "[4/4] Installed in $environment"
}

prepare_environment() {
    is_ready "$1" && return
    [ -w "$root" ] || give_up "no permission to write in $root: clone it where you may write."
    # The lock belongs to the open file, so the kernel frees it when the last process ends.
    exec 9>"$root/.venv.lock"
    lock_environment
    if ! is_ready "$1"; then
        make_environment
        install_gansweep "$1"
    fi
    exec 9>&-
}

lock_environment() {
    local python
    python=$(find_python)
    "$python" - <<'PYTHON'
import fcntl, sys
try:
    fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("Waiting for another set-up of this checkout to end", file=sys.stderr)
    fcntl.flock(9, fcntl.LOCK_EX)
PYTHON
}
