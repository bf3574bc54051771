#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compiles hiredis_client.c with Debian's hiredis and runs it against our server; its TAP is ours."""
import os
import subprocess
import sys
import tempfile

from here import FOLDER, OURS, Server, need, need_server, run, skip_all

COMPILER = need("cc")
need("pkg-config")
need_server()
status, flags = run(["pkg-config", "--cflags", "--libs", "hiredis"])
if status != 0:
    skip_all("no hiredis (Debian package libhiredis-dev)")
with tempfile.TemporaryDirectory(prefix="demikv-test-") as folder:
    program = os.path.join(folder, "hiredis_client")
    # hiredis's own headers are included as <hiredis/x.h>; its flags point one folder deeper.
    status, output = run([COMPILER, "-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-O1", "-o",
                          program, os.path.join(FOLDER, "hiredis_client.c")] + flags.split())
    if status != 0:
        print("Bail out! hiredis_client.c does not compile:\n" + output)
        sys.exit(1)
    with Server(OURS) as server:
        sys.exit(subprocess.run([program, server.path], timeout=60).returncode)
