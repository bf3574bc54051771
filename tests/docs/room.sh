#!/bin/sh
# SPDX-License-Identifier: MIT
#
# room.sh ROOT COMMAND...: runs the command where a page's sessions may do what they like. Called in name spaces of its own
# (chapter.py): /tmp is empty, the tree ROOT is an overlay at $HOME/demikv, the network has a loopback and nothing else.
set -e
root=$1
shift
mount --make-rprivate /
mount --bind "$root" /mnt
mount -t tmpfs -o mode=1777 none /tmp
mount -t tmpfs none /run
mkdir -p /tmp/home/demikv /tmp/.room/upper /tmp/.room/work /tmp/.room/bin
if ! mount -t overlay overlay -o lowerdir=/mnt,upperdir=/tmp/.room/upper,workdir=/tmp/.room/work /tmp/home/demikv 2>/tmp/.room/why; then
    echo "1..0 # SKIP no overlay: $(cat /tmp/.room/why)"
    exit 77
fi
ip link set lo up
# Root already, or as good as: what the reader types with sudo is run as it is.
printf '#!/bin/sh\nexec "$@"\n' > /tmp/.room/bin/sudo
# At a terminal redis-cli prints for people, into a pipe for programs: here the terminal is a file.
cat > /tmp/.room/bin/redis-cli <<'END'
#!/bin/sh
cli=$(PATH=${PATH#/tmp/.room/bin:} command -v redis-cli) || { echo "redis-cli: not there" >&2; exit 127; }
[ "$(readlink /proc/$$/fd/1)" != "$DOCS_TERMINAL" ] || exec "$cli" --no-raw "$@"
exec "$cli" "$@"
END
# A page says `sleep 0.3` where a reader takes his time: on a busy machine what was started may want more. So a sleep lasts until nothing
# in the room runs or waits for a disk (ten seconds at most); those of loops that look by themselves are what they are.
cat > /tmp/.room/bin/sleep <<'END'
#!/bin/sh
/bin/sleep "$@"
case $1 in 0.0*|0.1) exit ;; esac
calm=0 tries=0
while [ $calm -lt 3 ] && [ $tries -lt 400 ]; do
    calm=$((calm + 1)) tries=$((tries + 1))
    for stat in /proc/[0-9]*/stat; do
        { read -r line < "$stat"; } 2>/dev/null || continue
        [ "${line%% *}" = $$ ] && continue
        case ${line##*) } in [RD]*) calm=0 ;; esac
    done
    /bin/sleep 0.02
done
END
chmod 755 /tmp/.room/bin/*
cd /tmp/home/demikv
exec "$@"
