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
chmod 755 /tmp/.room/bin/*
cd /tmp/home/demikv
exec "$@"
