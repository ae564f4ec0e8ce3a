#!/bin/sh
# Install what some tests need beyond Python: a browser, fonts, a database, spam filters, a mail server, a web server, a feed
# reader, a tracer of system calls, an accessibility checker, and data on what mail programs support. Packages only as root on a Debian machine, the
# last two only where npm is, and said; elsewhere those tests skip and say why.
set -u
cd "$(dirname "$0")/.." || exit 0
oracles=.venv/oracles

packages() {
    wanted=""
    command -v chromium >/dev/null 2>&1 || wanted="$wanted chromium"
    [ -d /usr/share/fonts/truetype/liberation ] || wanted="$wanted fonts-liberation"
    [ -d /usr/share/fonts/truetype/droid ] || wanted="$wanted fonts-droid-fallback"
    [ -e /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf ] || wanted="$wanted fonts-noto-color-emoji"
    if [ ! -x "$(command -v initdb)" ] && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
        wanted="$wanted postgresql"
    fi
    command -v spamassassin >/dev/null 2>&1 || wanted="$wanted spamassassin"
    command -v rspamd >/dev/null 2>&1 || wanted="$wanted rspamd"
    command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || wanted="$wanted nginx-light"
    command -v newsboat >/dev/null 2>&1 || wanted="$wanted newsboat"
    command -v strace >/dev/null 2>&1 || wanted="$wanted strace"
    [ -n "$wanted" ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "Not installed:$wanted. The tests that need them will be skipped and say so."
        return 0
    fi
    echo "Installing for the tests:$wanted"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null 2>&1
    for package in $wanted; do
        apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
            echo "$package could not be installed; the tests that need it will be skipped and say so."
    done
}

# oracle PACKAGE@VERSION FILE: keep one file of a package of npm.
oracle() {
    kept="$oracles/$(basename "$2")"
    [ -e "$kept" ] && return 0
    if ! command -v npm >/dev/null 2>&1; then
        echo "There is no npm to fetch $1. The tests that need it will be skipped and say so."
        return 0
    fi
    echo "Fetching for the tests: $1"
    mkdir -p "$oracles/unpacked"
    { (cd "$oracles/unpacked" && npm pack --silent "$1" && tar -xzf ./*.tgz "package/$2") &&
        mv "$oracles/unpacked/package/$2" "$kept"; } >/dev/null 2>&1 ||
        echo "That did not work; the tests that need it will be skipped and say so."
    rm -rf "$oracles/unpacked"
}

# Postfix is only unpacked, so that no mail server of the machine is set up or started; its libraries are installed.
postfix() {
    kept="$oracles/postfix"
    [ -x /usr/lib/postfix/sbin/master ] || [ -x "$kept/usr/lib/postfix/sbin/master" ] && return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "Not installed: postfix. The test that needs it will be skipped and say so."
        return 0
    fi
    echo "Unpacking for the tests: postfix"
    export DEBIAN_FRONTEND=noninteractive
    mkdir -p "$oracles/unpacked"
    (
        cd "$oracles/unpacked" || exit 1
        apt-get download -qq postfix || { apt-get update -qq && apt-get download -qq postfix; } || exit 1
        libraries=$(dpkg-deb -f postfix_*.deb Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ (|:]*\).*/\1/p')
        # shellcheck disable=SC2086  # several words
        apt-get install -y -qq --no-install-recommends $libraries || exit 1
        dpkg-deb -x postfix_*.deb postfix && mv postfix ../postfix
    ) >/dev/null 2>&1 || echo "That did not work; the test that needs it will be skipped and say so."
    rm -rf "$oracles/unpacked"
}

packages
postfix
oracle caniemail@1.0.5 data/caniemail.json
oracle axe-core@4.14.1 axe.min.js
exit 0
