#!/bin/sh
# Install what some tests need beyond Python: a browser, fonts, a database, each only as root on a Debian machine; and
# the data on what mail programs support, by npm where it is there. What is missing is said, and its tests skip.
set -u
oracles=.venv/oracles
data=caniemail@1.0.5
if [ ! -f "$oracles/caniemail.json" ]; then
    if command -v npm >/dev/null 2>&1; then
        echo "Fetching for the tests: $data"
        mkdir -p "$oracles"
        { (cd "$oracles" && npm pack --silent "$data" && tar -xzf caniemail-*.tgz package/data/caniemail.json) &&
            mv "$oracles/package/data/caniemail.json" "$oracles/caniemail.json"; } >/dev/null 2>&1 ||
            echo "That did not work; the tests that compare with it will be skipped and say so."
        rm -rf "$oracles/package" "$oracles"/caniemail-*.tgz
    else
        echo "Not fetched, for want of npm: $data. The tests that compare with it will be skipped and say so."
    fi
fi
wanted=""
command -v chromium >/dev/null 2>&1 || wanted="$wanted chromium"
[ -d /usr/share/fonts/truetype/liberation ] || wanted="$wanted fonts-liberation"
if [ ! -x "$(command -v initdb)" ] && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    wanted="$wanted postgresql"
fi
[ -n "$wanted" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed:$wanted. The tests that need them will be skipped and say so."
    exit 0
fi
echo "Installing for the tests:$wanted"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $wanted; } >/dev/null 2>&1 ||
    echo "That did not work; the tests that need them will be skipped and say so."
exit 0
