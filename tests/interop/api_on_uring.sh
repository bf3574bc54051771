#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The conformance tests of the API (tests/demi/) on the libOS "uring": kernel sockets by io_uring instead of epoll. It needs no rights, but a kernel
# that lets it have a ring.
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
tests='tls sockets stream small_push arguments cancel datagram families local wait extremes fork signals threads event_fd poll_fd mem_register files absence'
# Built without liburing, or a kernel or a filter that has no ring for us: the test that needs one says so.
"$build"/tests/tests/demi/uring_test >/dev/null 2>&1
[ $? -eq 77 ] || [ ! -x "$build"/tests/tests/demi/uring_test ] && { echo "1..0 # SKIP no io_uring: liburing-dev, Linux 6.1, kernel.io_uring_disabled"; exit 77; }
count=0 failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
for name in $tests; do
    count=$((count + 1))
    if DEMI_TEST_LIBOS=uring timeout 120 "$build/tests/tests/demi/${name}_test" >"$log" 2>&1; then
        echo "ok $count - tests/demi/${name}_test by io_uring"
    else
        failed=1
        echo "not ok $count - tests/demi/${name}_test by io_uring"
        sed 's/^/# /' "$log"
    fi
done
echo "1..$count"
exit $failed
