#!/bin/bash
# SPDX-License-Identifier: MIT
#
# demi-log over files that the example has written: what it lists, checks and shows; damage in the middle, which is told,
# refused to who opens the log, and repaired; what is not a device of logs is refused; a log is removed.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-$PWD/build}
tool=$build/tools/log/demi-log
example=$build/examples/log-write-read
[ -x "$tool" ] && [ -x "$example" ] || { echo "1..0 # SKIP no $tool or $example"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
device=$work/device
number=0 failed=0

ok() { # name, command...: what it printed is shown only if it failed
    local name=$1
    shift
    number=$((number + 1))
    if "$@" >"$work/out" 2>&1; then
        echo "ok $number - $name"
    else
        sed 's/^/# /' "$work/out"
        echo "not ok $number - $name"
        failed=1
    fi
}
says() { # pattern, command...
    local pattern=$1
    shift
    "$@" 2>&1 | tee "$work/said" | grep -q -- "$pattern" || { cat "$work/said"; return 1; }
}
fails() { ! "$@"; }
blocks() { dd if="$1" of="$2" bs=4096 seek="$3" count=1 conv=notrunc status=none; }

ok 'create makes a device of the size that was asked for' says '15 segments of 65536 bytes' "$tool" create --size 1M --segment 64K "$device"
ok 'and not twice' fails "$tool" create "$device"
ok 'nor over something else' bash -c "echo something >$work/other && ! $tool create $work/other && grep -q something $work/other"
ok 'a program appends to it and reads it back' says 'record 5 of process' "$example" "$device" 5
ok 'again' says 'record 4 of process' "$example" "$device" 4
ok 'list shows the log' says '^example  *0 ' "$tool" list "$device"
ok 'check counts its records' says '^example: 9 records, .* whole up to offset' "$tool" check "$device"
ok 'dump shows them' says '#9 epoch .* bytes: record 4 of process' "$tool" dump "$device" example
dump_from() { [ "$("$tool" dump --from 4096 "$device" example | wc -l)" -eq 8 ] && [ "$("$tool" dump --raw "$device" example | grep -o 'of process' | wc -l)" -eq 9 ]; }
ok 'from an offset, and raw' dump_from
ok 'a log that is not there is an error' fails "$tool" dump "$device" none
export tool device work
export -f says
ok 'who finds it open says so' bash -c 'exec 9<"$device"; flock 9; says "somebody has it open" "$tool" check "$device"'

mkfifo "$work/fifo"
ok 'a FIFO is refused, not waited for' says 'neither a file nor a block device' timeout 20 "$tool" check "$work/fifo"

blocks /dev/zero "$device" $((16 + 1 + 6)) # the seventh record of segment 0, which begins behind 16 blocks and its head; its length is that of the process's number
ok 'damage in the middle is found' says 'DAMAGED at offset 205[34]' "$tool" check "$device"
ok 'with an exit status' fails "$tool" check "$device"
ok 'and the log not opened' says 'Structure needs cleaning' "$example" "$device" 1
ok 'repair keeps what is before it' says '6 records are left, up to offset 205[34]' "$tool" repair "$device"
ok 'then all is whole' "$tool" check "$device"
ok 'and goes on' says 'record 3 of process' "$example" "$device" 3
ok 'whole' says '^example: 9 records' "$tool" check "$device"
ok 'a second repair has nothing to do' says 'nothing to repair' "$tool" repair "$device"
ok 'remove' "$tool" remove "$device" example
ok 'it is gone' fails says example "$tool" list "$device"
ok 'and its room free' says '15 free' "$tool" list "$device"
ok 'no command line is a mistake' bash -c '"$tool" 2>/dev/null; [ $? -eq 2 ]'

echo "1..$number"
exit $failed
