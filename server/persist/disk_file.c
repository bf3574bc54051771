/* SPDX-License-Identifier: MIT */
#include "server/persist/disk_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "demi/libos.h"
#include "demi/wait.h"

int disk_file_wait(demi_qtoken_t qt, demi_qresult_t *out)
{
    demi_qresult_t qr;
    int err = demi_wait(&qr, qt, NULL);
    if (err) return -err;
    if (qr.qr_opcode == DEMI_OPC_FAILED) return -(int)qr.qr_ret;
    if (out) *out = qr;
    return 0;
}

/* What a call that starts an operation returned, and then the operation's own end. */
static int started_and_done(int err, demi_qtoken_t qt) { return err ? -err : disk_file_wait(qt, NULL); }

int disk_file_close(int qd)
{
    demi_qtoken_t qt;
    int err = demi_async_close(&qt, qd);
    return started_and_done(err, qt);
}

int disk_file_open(int *qd_out, const char *path, int flags, mode_t mode)
{
    int qd;
    demi_qtoken_t qt;
    int err = demi_async_open(&qt, &qd, path, flags, mode);
    if (err) return -err;
    err = disk_file_wait(qt, NULL);
    if (err) disk_file_close(qd);
    else *qd_out = qd;
    return err;
}

int disk_file_sync(int qd, bool data_only)
{
    demi_qtoken_t qt;
    int err = demi_sync(&qt, qd, data_only);
    return started_and_done(err, qt);
}

int disk_file_size(int qd, uint64_t *bytes_out)
{
    demi_qtoken_t qt;
    demi_qresult_t qr = {0};
    int err = demi_file_size(&qt, qd);
    err = err ? -err : disk_file_wait(qt, &qr);
    if (!err) *bytes_out = (uint64_t)qr.qr_ret;
    return err;
}

int disk_file_rename(const char *from, const char *to)
{
    demi_qtoken_t qt;
    int err = demi_rename(&qt, from, to);
    return started_and_done(err, qt);
}

int disk_file_unlink(const char *path)
{
    demi_qtoken_t qt;
    int err = demi_unlink(&qt, path);
    return started_and_done(err, qt);
}

int disk_file_make_folder(const char *path, mode_t mode)
{
    demi_qtoken_t qt;
    int err = demi_mkdir(&qt, path, mode);
    return started_and_done(err, qt);
}

int disk_file_sync_folder(const char *path)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof folder) return -ENAMETOOLONG;
    if (slash == path) n = 1;
    if (n) {
        memcpy(folder, path, n);
        folder[n] = 0;
    }
    int qd;
    int err = disk_file_open(&qd, folder, O_RDONLY | O_DIRECTORY, 0);
    if (err) return err;
    err = disk_file_sync(qd, false);
    disk_file_close(qd);             /* nothing was written by it */
    return err == -EINVAL ? 0 : err; /* a file system whose folders cannot be flushed */
}
