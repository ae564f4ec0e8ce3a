#!/bin/sh
# Install what some tests need beyond Python: a browser and fonts. Only as root on a Debian machine, and said;
# elsewhere those tests skip and say why.
set -u
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
