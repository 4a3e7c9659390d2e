#!/bin/sh
# The servers that tests run beside PostgreSQL. Without the right to install them the tests that need one are skipped
# and name it; with CI=true nothing may be missing.
set -eu

missing=""
# A line each: the program that a test looks for, the package that brings it.
while read -r program package; do
    [ -n "$(PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$program" || true)" ] || missing="$missing $package"
done <<LIST
pgbouncer pgbouncer
mariadbd mariadb-server
chromium chromium
promtool prometheus
LIST

[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing$missing"
    # Debian starts servers as it installs them; ours are started by the tests, on ports of their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    if apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing >/dev/null; then
        exit 0
    fi
    echo "could not install$missing" >&2
else
    echo "not installed (needs root and apt-get):$missing; the tests that need them are skipped"
fi

[ "${CI:-}" != true ]
