#!/bin/sh
# SPDX-License-Identifier: MIT
# timeout: 300
#
# The same commands to redis-server and to ours (tests/compat/), ours on the libOS "uring": what goes through sockets in many shapes. Further scripts
# may be named; `make soak` has each in its turn. Not among them, since they ask what the sockets of `posix` do: order.py (pieces of more than 2 KiB are
# popped in parts), info.py and expiry.py (to the byte what memory a few clients leave; io_uring has its buffers there, too).
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
"$build"/tests/tests/demi/uring_test >/dev/null 2>&1
[ $? -eq 77 ] || [ ! -x "$build"/tests/tests/demi/uring_test ] && { echo "1..0 # SKIP no io_uring: liburing-dev, Linux 6.1, kernel.io_uring_disabled"; exit 77; }
[ $# -gt 0 ] || set -- command_table encodings debugger tracking "cases transaction pubsub connection protocol"
count=1 failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
LIBOS=uring python3 -c '
import sys
sys.path.append("tests/compat") # behind the library, which has an "encodings" of its own
from servers import OURS, Server
with Server(OURS) as server:
    assert b"demi_libos:uring" in server.client(20).call("INFO", "demikernel").text()' >"$log" 2>&1
if [ $? -eq 0 ]; then echo "ok 1 - the server of these tests is on io_uring"; else failed=1; echo "not ok 1 - the server of these tests is on io_uring"; sed 's/^/# /' "$log"; fi
for script in "$@"; do
    count=$((count + 1))
    name=${script%% *} files=${script#"$name"}
    # shellcheck disable=SC2086 # files are words
    LIBOS=uring timeout 120 "tests/compat/$name.py" $files >"$log" 2>&1
    case $? in
    0) echo "ok $count - tests/compat/$script by io_uring" ;;
    77) echo "ok $count # SKIP tests/compat/$script: $(tail -n 1 "$log")" ;;
    *)
        failed=1
        echo "not ok $count - tests/compat/$script by io_uring"
        grep -v '^ok' "$log" | sed 's/^/# /'
        ;;
    esac
done
echo "1..$count"
exit $failed
