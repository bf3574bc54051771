/* SPDX-License-Identifier: MIT
 *
 * A manifest is replaced as every file is: a temporary one, flushed, renamed, the folder flushed. What it names is on
 * the disk before it is.
 */
#include "server/persist/aof_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "demi/libos.h"
#include "demi/sga.h"
#include "server/mem.h"
#include "server/observe/log.h"
#include "server/persist/aof.h"
#include "server/persist/claim.h"
#include "server/persist/disk_file.h"
#include "server/server.h"

#define MANIFEST_BYTES_MAX ((uint64_t)1 << 24)

static int failed(struct server *srv, const char *doing, const char *what, int err)
{
    server_log(srv, LOG_WARNING_LEVEL, "AOF: %s %s: %s", doing, what, strerror(-err));
    return err;
}

int aof_folder_path(const struct aof *a, const char *name, char out[PATH_MAX])
{
    return snprintf(out, PATH_MAX, "%s/%s", a->folder, name) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int manifest_path(struct server *srv, const char *prefix, char out[PATH_MAX])
{
    char name[AOF_NAME_SIZE];
    int n = snprintf(name, sizeof name, "%s%.400s.manifest", prefix, srv->config->appendfilename);
    return n < (int)sizeof name ? aof_folder_path(&srv->aof, name, out) : -ENAMETOOLONG;
}

int aof_folder_locate(struct server *srv)
{
    char here[PATH_MAX];
    if (!getcwd(here, sizeof here)) return failed(srv, "finding", "the working directory", -errno);
    int n = snprintf(srv->aof.folder, PATH_MAX, "%s/%s", here, srv->config->appenddirname);
    return n < PATH_MAX ? 0 : failed(srv, "opening", srv->config->appenddirname, -ENAMETOOLONG);
}

int aof_folder_temporary_base(struct server *srv, char out[PATH_MAX])
{
    char name[AOF_NAME_SIZE];
    int n = snprintf(name, sizeof name, "temp-rewriteaof-bg.%.400s", srv->config->appendfilename);
    return n < (int)sizeof name ? aof_folder_path(&srv->aof, name, out) : -ENAMETOOLONG;
}

/* What a rewrite has left that a crash ended, which may be as long as all of the data. */
static void clear_leftovers(struct server *srv)
{
    char path[PATH_MAX];
    if (manifest_path(srv, "temp-", path) == 0) unlink(path);
    if (aof_folder_temporary_base(srv, path) == 0) unlink(path);
}

/* By its name, since redis-server lets two servers have a log each in one folder. No call waits for a disk that the
 * start has not waited for already: all are done once. Of two that start at the same moment each may find the other,
 * and be refused. */
int aof_folder_take(struct server *srv)
{
    struct aof *a = &srv->aof;
    const char *name = srv->config->appendfilename;
    if (a->lock_fd >= 0 || !srv->in_a_process) return 0; /* in the simulator nobody else is there */
    int fd = open(a->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT ? -ENOENT : failed(srv, "opening", a->folder, -errno);
    int err = claim_name(fd, name);
    if (!err && claim_has_other(fd, name)) {
        server_log(srv, LOG_WARNING_LEVEL, "The append-only file %s in the folder %s is in use by another process.",
                   name, a->folder);
        close(fd);
        return -EBUSY;
    }
    a->lock_fd = fd;
    if (err)
        server_log(srv, LOG_WARNING_LEVEL,
                   "The append-only folder %s cannot be locked: %s. No other server may use it.", a->folder,
                   strerror(-err));
    else clear_leftovers(srv);
    return 0;
}

void aof_folder_give_up(struct server *srv)
{
    if (srv->aof.lock_fd >= 0) close(srv->aof.lock_fd);
    srv->aof.lock_fd = -1;
}

int aof_folder_make(struct server *srv)
{
    int err = disk_file_make_folder(srv->aof.folder, 0755);
    if (err == 0) err = disk_file_sync_folder(srv->aof.folder);
    else if (err == -EEXIST) err = 0;
    if (!err) return aof_folder_take(srv);
    server_log(srv, LOG_WARNING_LEVEL, "Can't open or create append-only dir %s: %s", srv->config->appenddirname,
               strerror(-err));
    return err;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* The whole of a small file; *text is the caller's. */
static int read_whole(const char *path, char **text, size_t *n)
{
    int qd;
    uint64_t size;
    int err = disk_file_open(&qd, path, O_RDONLY, 0);
    if (err) return err;
    err = disk_file_size(qd, &size);
    if (!err && size > MANIFEST_BYTES_MAX) err = -EFBIG;
    *n = 0;
    *text = err ? NULL : mem_alloc(size + 1);
    while (!err && *n < size) {
        demi_qtoken_t qt;
        demi_qresult_t qr;
        err = -demi_pop(&qt, qd);
        if (!err) err = disk_file_wait(qt, &qr);
        if (err) break;
        demi_sgarray_t sga = qr.qr_value.sga;
        size_t got = sga.sga_segs[0].sgaseg_len;
        if (got > size - *n) got = size - *n;
        memcpy(*text + *n, sga.sga_segs[0].sgaseg_buf, got);
        demi_sgafree(&sga);
        *n += got;
        if (got == 0) size = *n;
    }
    disk_file_close(qd); /* nothing was written */
    if (err) mem_free(*text);
    return err;
}

int aof_folder_read(struct server *srv, struct aof_manifest *m)
{
    char path[PATH_MAX], *text;
    size_t n;
    int err = manifest_path(srv, "", path);
    if (!err) err = read_whole(path, &text, &n);
    if (err == -ENOENT) return err;
    if (err) {
        server_log(srv, LOG_WARNING_LEVEL, "Fatal error: can't open the AOF manifest file %s for reading: %s", path,
                   strerror(-err));
        return err;
    }
    struct aof_manifest_fault fault;
    err = aof_manifest_parse(m, text, n, &fault);
    if (err) {
        server_log(srv, LOG_WARNING_LEVEL, "*** FATAL AOF MANIFEST FILE ERROR ***");
        if (fault.number)
            server_log(srv, LOG_WARNING_LEVEL, "Reading the manifest file, at line %u: '%.*s'", fault.number,
                       (int)(fault.line.n < 128 ? fault.line.n : 128), fault.line.p);
        server_log(srv, LOG_WARNING_LEVEL, "%s", fault.why);
    }
    mem_free(text);
    return err;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static int write_text(int qd, const char *text, size_t n)
{
    demi_sgarray_t sga = demi_sgaalloc_large(n ? n : 1);
    if (!sga.sga_numsegs) return -ENOMEM;
    memcpy(sga.sga_segs[0].sgaseg_buf, text, n);
    sga.sga_segs[0].sgaseg_len = (uint32_t)n;
    demi_qtoken_t qt;
    int err = -demi_push(&qt, qd, &sga);
    demi_sgafree(&sga);
    return err ? err : disk_file_wait(qt, NULL);
}

static int write_file(const char *path, const char *text, size_t n)
{
    int qd;
    int err = disk_file_open(&qd, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (err) return err;
    if (n) err = write_text(qd, text, n);
    if (!err) err = disk_file_sync(qd, false);
    int late = disk_file_close(qd);
    return err ? err : late;
}

int aof_folder_publish(struct server *srv, struct aof_manifest *m)
{
    char path[PATH_MAX], temporary[PATH_MAX];
    size_t n;
    int err = manifest_path(srv, "", path);
    if (!err) err = manifest_path(srv, "temp-", temporary);
    if (err) return failed(srv, "writing", "the manifest", err);
    char *text = aof_manifest_text(m, &n);
    if (!text) return failed(srv, "writing", "the manifest", -ENAMETOOLONG);
    err = write_file(temporary, text, n);
    mem_free(text);
    if (!err) err = disk_file_rename(temporary, path);
    if (err) disk_file_unlink(temporary); /* it may not even be there */
    else err = disk_file_sync_folder(path);
    if (err) return failed(srv, "writing", path, err);
    aof_manifest_fini(&srv->aof.manifest);
    srv->aof.manifest = *m;
    *m = (struct aof_manifest){0};
    return 0;
}

void aof_folder_clean(struct server *srv)
{
    char path[PATH_MAX];
    struct aof_manifest m;
    if (srv->config->aof_disable_auto_gc) return;
    aof_manifest_copy(&m, &srv->aof.manifest);
    for (size_t i = 0; i < m.count; i++) {
        if (m.files[i].kind != AOF_HISTORY) continue;
        server_log(srv, LOG_NOTICE_LEVEL, "Removing the history file %s in the background", m.files[i].name);
        int err = aof_folder_path(&srv->aof, m.files[i].name, path);
        if (!err) err = disk_file_unlink(path);
        if (err && err != -ENOENT) failed(srv, "removing", m.files[i].name, err);
    }
    size_t before = m.count;
    aof_manifest_forget_history(&m);
    if (m.count != before) aof_folder_publish(srv, &m);
    aof_manifest_fini(&m);
}

int aof_folder_adopt(struct server *srv, struct aof_manifest *m)
{
    char path[PATH_MAX];
    const char *name = srv->config->appendfilename;
    int err = aof_folder_make(srv);
    if (err) return err;
    if (strlen(name) >= AOF_NAME_SIZE) return failed(srv, "moving", name, -ENAMETOOLONG);
    if (!aof_manifest_base(m)) aof_manifest_adopt(m, name);
    struct aof_manifest published;
    aof_manifest_copy(&published, m);
    err = aof_folder_publish(srv, &published);
    if (!err) err = aof_folder_path(&srv->aof, name, path);
    if (!err) err = disk_file_rename(name, path);
    if (!err) err = disk_file_sync_folder(path);
    if (err) {
        aof_manifest_fini(&published);
        server_log(srv, LOG_WARNING_LEVEL, "Error trying to move the old AOF file %s into dir %s: %s", name,
                   srv->config->appenddirname, strerror(-err));
        return err;
    }
    server_log(srv, LOG_NOTICE_LEVEL, "Successfully migrated an old-style AOF file (%s) into the AOF directory (%s).",
               name, srv->config->appenddirname);
    return 0;
}
