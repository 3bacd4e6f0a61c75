#!/bin/sh
# Chromium for the browser test: found, or installed from Debian's packages where that is possible; else one line says why not.
# With MILLSTREAM_REQUIRE_BROWSER=1 that is an error.
set -eu

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done

give_up() {
    printf 'no browser test: %s\n' "$1" >&2
    [ "${MILLSTREAM_REQUIRE_BROWSER:-}" != 1 ] || exit 1
    exit 0
}

command -v apt-get >/dev/null 2>&1 || give_up "no chromium on the PATH, and no apt-get to install it with"
if [ "$(id -u)" = 0 ]; then
    sudo=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    sudo='sudo -n'
else
    give_up "no chromium on the PATH, and installing it needs root (sudo apt-get install chromium)"
fi

echo "Installing chromium for the browser test"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
if $sudo apt-get update -q >"$log" 2>&1 && $sudo apt-get install -y -q --no-install-recommends chromium >>"$log" 2>&1; then
    exit 0
fi
give_up "apt-get could not install chromium: $(grep -v '^$' "$log" | tail -n 1)"
