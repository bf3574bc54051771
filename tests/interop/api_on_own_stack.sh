#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The conformance tests of the API (tests/demi/) on our own stack instead of the kernel's: the libOS "loop" needs no device and no rights.
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
tests='tls sockets stream datagram families local wait extremes fork event_fd poll_fd mem_register absence'
count=0 failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
for name in $tests; do
    count=$((count + 1))
    if DEMI_TEST_LIBOS=loop timeout 120 "$build/tests/tests/demi/${name}_test" >"$log" 2>&1; then
        echo "ok $count - tests/demi/${name}_test on our own stack"
    else
        failed=1
        echo "not ok $count - tests/demi/${name}_test on our own stack"
        sed 's/^/# /' "$log"
    fi
done
echo "1..$count"
exit $failed
