#!/bin/sh
# SPDX-License-Identifier: MIT
# timeout: 300
#
# What clients do to the server (tests/clients/), to one whose sockets are the libOS "uring": replies that nobody reads, clients that are ended or
# leave in the middle, tools that people use. They talk to its Unix socket, which io_uring serves there, too.
cd "$(dirname "$0")/../.." || exit 1
scripts='kill slow_reader reply_memory missing client_lines redis_cli'
build=${BUILD:-build}
# Built without liburing, or a kernel or a filter that has no ring for us: the test that needs one says so.
"$build"/tests/tests/demi/uring_test >/dev/null 2>&1
[ $? -eq 77 ] || [ ! -x "$build"/tests/tests/demi/uring_test ] && { echo "1..0 # SKIP no io_uring: liburing-dev, Linux 6.1, kernel.io_uring_disabled"; exit 77; }
count=0 failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
for name in $scripts; do
    count=$((count + 1))
    LIBOS=uring timeout 120 "tests/clients/$name.py" >"$log" 2>&1
    case $? in
    0) echo "ok $count - tests/clients/$name.py by io_uring" ;;
    77) echo "ok $count # SKIP tests/clients/$name.py: $(tail -n 1 "$log")" ;;
    *)
        failed=1
        echo "not ok $count - tests/clients/$name.py by io_uring"
        grep -v '^ok' "$log" | sed 's/^/# /'
        ;;
    esac
done
echo "1..$count"
exit $failed
