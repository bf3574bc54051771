/* SPDX-License-Identifier: MIT
 *
 * rename() makes the new file the file; the folder is flushed after it, since otherwise a power cut may bring the old
 * name back.
 */
#include "server/rdb/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "server/observe/log.h"
#include "server/server.h"

static int write_all(void *arg, const char *p, size_t n)
{
    int fd = *(int *)arg;
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return -errno;
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

static int write_to(int fd, struct call *c)
{
    struct rdb_sink s;
    rdb_sink_init(&s, write_all, &fd);
    s.compress = c->cfg->rdbcompression;
    s.checksum = c->cfg->rdbchecksum;
    rdb_write_snapshot(&s, c);
    int err = rdb_sink_finish(&s);
    rdb_sink_fini(&s);
    return err ? err : fsync(fd) < 0 ? -errno : 0;
}

static int sync_folder(void)
{
    int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    int err = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return err == -EINVAL ? 0 : err; /* a file system whose folders cannot be flushed */
}

static int failed(struct call *c, const char *doing, int err)
{
    server_log(c->srv, LOG_WARNING_LEVEL, "Error saving the DB on disk, %s: %s", doing, strerror(-err));
    return err;
}

int rdb_file_save(struct call *c)
{
    char temporary[64];
    snprintf(temporary, sizeof temporary, "temp-%d.rdb", (int)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return failed(c, "opening the temporary file", -errno);
    int err = write_to(fd, c);
    if (close(fd) < 0 && !err) err = -errno;
    if (!err && rename(temporary, c->cfg->dbfilename) < 0) err = -errno;
    if (err) {
        unlink(temporary);
        return failed(c, "writing", err);
    }
    err = sync_folder();
    if (err) return failed(c, "flushing the folder", err);
    server_log(c->srv, LOG_NOTICE_LEVEL, "DB saved on disk");
    c->srv->dirty = 0;
    return 0;
}

static long read_some(void *arg, char *buf, size_t size)
{
    for (;;) {
        ssize_t n = read(*(int *)arg, buf, size);
        if (n >= 0) return n;
        if (errno != EINTR) return -errno;
    }
}

int rdb_file_load(struct call *c, unsigned flags)
{
    int fd = open(c->cfg->dbfilename, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -errno;
    struct rdb_source s;
    struct rdb_loaded loaded;
    rdb_source_of_stream(&s, read_some, &fd);
    int err = rdb_read_snapshot(&s, c, flags, &loaded);
    if (err)
        server_log(c->srv, LOG_WARNING_LEVEL, "Error loading the DB from disk at byte %llu: %s",
                   (unsigned long long)rdb_source_offset(&s), s.why);
    else
        server_log(c->srv, LOG_NOTICE_LEVEL,
                   "Done loading RDB, keys loaded: %llu, keys expired: %llu, empty keys skipped: %llu.",
                   (unsigned long long)loaded.keys, (unsigned long long)loaded.expired,
                   (unsigned long long)loaded.empty);
    rdb_source_fini(&s);
    close(fd);
    return err;
}
