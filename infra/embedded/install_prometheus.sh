#!/bin/sh
# promtool for the test of the alert rules: found, or installed from Debian's packages where that is possible; else one line says
# why not. With MILLSTREAM_REQUIRE_PROMETHEUS=1 that is an error. No server is started.
set -eu

if command -v promtool >/dev/null 2>&1; then
    exit 0
fi

give_up() {
    printf 'no test of the alert rules: %s\n' "$1" >&2
    [ "${MILLSTREAM_REQUIRE_PROMETHEUS:-}" != 1 ] || exit 1
    exit 0
}

command -v apt-get >/dev/null 2>&1 || give_up "no promtool on the PATH, and no apt-get to install it with"
if [ "$(id -u)" = 0 ]; then
    sudo=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    sudo='sudo -n'
else
    give_up "no promtool on the PATH, and installing it needs root (sudo apt-get install prometheus)"
fi

echo "Fetching promtool for the test of the alert rules"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DEBIAN_FRONTEND=noninteractive
# The package would start a server that listens on all interfaces: only its promtool is taken out of it.
if (
    cd "$folder" &&
        $sudo apt-get update -q >log 2>&1 &&
        apt-get download -q prometheus >>log 2>&1 &&
        dpkg-deb -x prometheus_*.deb unpacked >>log 2>&1 &&
        $sudo install -m 755 unpacked/usr/bin/promtool /usr/local/bin/promtool >>log 2>&1
) && promtool --version >/dev/null 2>&1; then
    exit 0
fi
give_up "promtool could not be had: $(grep -v '^$' "$folder/log" | tail -n 1)"
