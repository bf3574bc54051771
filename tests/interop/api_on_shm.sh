#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The conformance tests of the API (tests/demi/) on shared memory instead of kernel sockets: the libOS "shm" needs no rights.
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
tests='tls sockets stream small_push arguments datagram families local wait extremes fork signals threads event_fd poll_fd mem_register absence'
count=0 failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
for name in $tests; do
    count=$((count + 1))
    if DEMI_TEST_LIBOS=shm timeout 120 "$build/tests/tests/demi/${name}_test" >"$log" 2>&1; then
        echo "ok $count - tests/demi/${name}_test on shared memory"
    else
        failed=1
        echo "not ok $count - tests/demi/${name}_test on shared memory"
        sed 's/^/# /' "$log"
    fi
done
echo "1..$count"
exit $failed
