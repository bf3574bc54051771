#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tools/demi-top against our server: its counters move, a server that is not there is said so.
set -u
folder=$(mktemp -d) || exit 1
server=${DEMIKV_SERVER:-build/demikv-server}
"$server" --port 0 --unixsocket "$folder/s" --shm-path "$folder/p" --dir "$folder" --save "" >"$folder/log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null; rm -rf "$folder"' EXIT
for _ in $(seq 200); do [ -S "$folder/s" ] && break; sleep 0.05; done
echo 1..4
out=$(timeout 20 tools/demi-top -s "$folder/s" -n 2 -d 0.2)
if [ $? -eq 0 ] && grep -q "libOS posix and shm, working" <<<"$out"; then echo "ok 1 - two screens tell the libOSes and their work"; else echo "not ok 1 - two screens tell the libOSes and their work"; fi
if grep -q "rx_calls .*/s" <<<"$out" && ! grep -q "push_busy" <<<"$out"; then echo "ok 2 - counters have rates, zeros are left out"; else echo "not ok 2 - counters have rates, zeros are left out"; fi
if ! timeout 20 tools/demi-top -s "$folder/none" -n 1 2>"$folder/err" && grep -q "^demi-top: " "$folder/err"; then
    echo "ok 3 - a server that is not there is one line and exit status 1"
else
    echo "not ok 3 - a server that is not there is one line and exit status 1"
fi
LIBOS=shm timeout 20 "${BUILD:-build}/tools/bench/load" -s "$folder/p" -t set -c 3 -n 1000 >"$folder/load" 2>&1
out=$(timeout 20 tools/demi-top -s "$folder/s" -n 2 -d 0.1)
shm=$(awk '/^[a-z]/ { on = 0 } on { print } $0 == "shm" { on = 1 }' <<<"$out")
if grep -q "accepted  *3" <<<"$shm" && ! grep -q "/s" <<<"$shm"; then
    echo "ok 4 - what came by shared memory is there, and what rests has no rate"
else
    echo "not ok 4 - what came by shared memory is there, and what rests has no rate"
fi
