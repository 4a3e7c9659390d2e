#!/usr/bin/env bash
# Run every test in some processes, and those that failed once more: one by one, alone.
# Two processes on two cores take time from each other that some tests measure; what fails alone too is broken.
# Arguments: the Python to use, how many processes, and whatever else is for pytest.
set -euo pipefail
python=$1 processes=$2
shift 2

status=0
# A file's tests stay together: they share servers, which take longer to start than the tests.
"$python" -m pytest -m "slow or not slow" --numprocesses "$processes" --dist loadfile "$@" || status=$?
# 1 is pytest's word for tests that failed; a run that was interrupted or found no test is not mended by another.
[ "$status" -eq 1 ] || exit "$status"

printf '\n==== Failed above, and run again one by one. It is this second run that counts. ====\n\n'
exec "$python" -m pytest -m "slow or not slow" --verbose --last-failed --last-failed-no-failures none "$@"
