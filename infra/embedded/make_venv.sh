#!/bin/sh
# Make .venv: a Python of 3.11 to 3.14, everything in requirements.lock by hash, and this project in place.
# Done again only when the lock, pyproject.toml or the wanted Python changed, or when an earlier run was cut short.
#   PYTHON=python3.12   use this Python      MILLSTREAM_NO_UV=1   use venv and pip even where uv is present
set -eu
cd "$(dirname "$0")/../.."

venv=.venv
stamp=$venv/millstream-installed

say() { printf '%s\n' "$*" >&2; }
fail() { # MESSAGE REMEDY
    say "error: $1"
    say "what to do: $2"
    exit 1
}

supported() { # PYTHON: whether it runs and is of a version that we support
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo unknown; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        supported "$PYTHON" && echo "$PYTHON"
        return 0
    fi
    # Debian's python3 comes without venv and pip: first look for one that has them, unless uv does their work.
    for module in ensurepip sys; do
        [ -z "$have_uv" ] || module=sys
        for candidate in python3.14 python3.13 python3.12 python3.11 python3; do
            if supported "$candidate" && "$candidate" -c "import $module" >/dev/null 2>&1; then
                echo "$candidate"
                return 0
            fi
        done
    done
}

key() { # what the installation depends on
    { cat requirements.lock pyproject.toml; pwd; version_of $venv/bin/python; } | sha256sum | cut -d ' ' -f 1
}

usable_venv() { # an environment is there, runs, and is of the Python that was asked for
    [ -x $venv/bin/python ] && supported $venv/bin/python || return 1
    [ -z "${PYTHON:-}" ] || [ "$(version_of "$PYTHON")" = "$(version_of $venv/bin/python)" ]
}

install_with_uv() {
    say "Installing the locked dependencies with uv"
    uv pip install --quiet --python $venv/bin/python --require-hashes -r requirements.lock &&
        uv pip install --quiet --python $venv/bin/python --no-deps --no-build-isolation -e .
}

install_with_pip() {
    $venv/bin/python -m pip --version >/dev/null 2>&1 || $venv/bin/python -m ensurepip --upgrade >/dev/null 2>&1 ||
        fail "pip is not in $venv and Python has no ensurepip" "install your system's venv package (Debian, Ubuntu: apt-get install python3-venv) or uv, then run make again"
    say "Installing the locked dependencies with pip (some minutes the first time)"
    $venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock &&
        $venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
}

if usable_venv && [ -f $stamp ] && [ "$(cat $stamp)" = "$(key)" ]; then
    exit 0
fi

have_uv=
if [ -z "${MILLSTREAM_NO_UV:-}" ] && command -v uv >/dev/null 2>&1; then
    have_uv=yes
fi

rm -f $stamp
if ! usable_venv; then
    python=$(find_python)
    if [ -z "$python" ]; then
        [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not a Python of 3.11 to 3.14 that runs" "name another, or leave PYTHON out"
        [ -n "$have_uv" ] || fail "no Python of 3.11 to 3.14 found (python3 is $(version_of python3))" "install one (Debian, Ubuntu: apt-get install python3 python3-venv), or install uv, which brings its own, then run make again"
        python=3.13
    fi
    say "Making $venv with $python"
    if [ -n "$have_uv" ]; then
        uv venv --quiet --clear --python "$python" $venv ||
            fail "uv could not make $venv" "see its message above, or set MILLSTREAM_NO_UV=1 to use Python's own venv"
    elif ! "$python" -m venv --clear $venv >$venv.log 2>&1; then
        reason=$(tail -n 1 $venv.log)
        rm -rf $venv $venv.log
        case $("$python" -c 'import ensurepip' 2>&1) in
        '') fail "$python could not make $venv: $reason" "check that this folder is writable and its disk has room" ;;
        *) fail "$python has no venv and pip" "install your system's venv package (Debian, Ubuntu: apt-get install python3-venv) or uv, then run make again" ;;
        esac
    fi
    rm -f $venv.log
fi

if [ -n "$have_uv" ] && ! install_with_uv; then
    say "uv could not install everything: trying pip, which may be set up differently"
    have_uv=
    install_with_pip || fail "neither uv nor pip could install the locked dependencies" "check the network and the package index that uv or pip is set up with, then run make again"
elif [ -z "$have_uv" ]; then
    install_with_pip || fail "pip could not install the locked dependencies" "check the network and the package index that pip is set up with, then run make again"
fi
key >$stamp
