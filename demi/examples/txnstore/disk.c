/* SPDX-License-Identifier: MIT
 *
 * The log on a storage queue. An error is final: who opens the log again finds what is durable.
 */
#include "demi/examples/txnstore/disk.h"

#include <demi/ext.h>
#include <demi/libos.h>
#include <demi/sga.h>
#include <demi/wait.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int txn_disk_open(struct txn_disk *d, const char *path, bool create, txn_disk_fn fn, void *arg)
{
    char name[4096];
    demi_qtoken_t qt;
    demi_qresult_t qr;
    memset(d, 0, sizeof *d);
    if (snprintf(name, sizeof name, "log:%s#txnstore", path) >= (int)sizeof name) return ENAMETOOLONG;
    int err = demi_open(&d->qd, name, O_RDWR | O_DSYNC | (create ? O_CREAT : 0), 0600);
    if (err) {
        d->qd = -1;
        return err;
    }
    for (size_t size = 1; !err && size > 0;) {
        if ((err = demi_pop(&qt, d->qd)) || (err = demi_wait(&qr, qt, NULL))) break;
        if (qr.qr_opcode != DEMI_OPC_POP) return (int)qr.qr_ret;
        demi_sgarray_t sga = qr.qr_value.sga;
        size = sga.sga_segs[0].sgaseg_len;
        if (size) err = fn(arg, (uint64_t)qr.qr_ret, sga.sga_segs[0].sgaseg_buf, size);
        demi_sgafree(&sga);
    }
    return err;
}

void txn_disk_close(struct txn_disk *d)
{
    demi_qtoken_t qt;
    demi_qresult_t qr;
    if (d->qd >= 0 && !demi_async_close(&qt, d->qd)) demi_wait(&qr, qt, NULL);
    d->qd = -1;
}

uint64_t txn_disk_push(struct txn_disk *d, const struct iovec *iov, int count)
{
    demi_qtoken_t qt;
    if (d->error || d->pushed - d->durable == TXN_PUSHES_MAX) return 0;
    int err = demi_pushv(&qt, d->qd, iov, count, DEMI_PUSH_DURABLE);
    if (!err) err = demi_set_data(qt, (void *)(uintptr_t)(d->pushed + 1));
    if (err && err != EBUSY) d->error = err;
    return err ? 0 : ++d->pushed;
}

bool txn_disk_take(struct txn_disk *d, const demi_qresult_t *qr)
{
    uint64_t number = (uintptr_t)demi_result_data(qr);
    bool is_trim = qr->qr_qt == d->trim;
    if (is_trim) d->trim = 0;
    if (qr->qr_opcode == DEMI_OPC_FAILED) {
        if (!d->error) d->error = (int)qr->qr_ret;
        return false;
    }
    if (is_trim || d->error) return false;
    d->offsets[number % TXN_PUSHES_MAX] = (uint64_t)qr->qr_ret;
    if (number > d->durable) d->durable = number; /* it, and all before it */
    return true;
}

void txn_disk_trim(struct txn_disk *d, uint64_t offset)
{
    if (d->trim || d->error) return; /* the next checkpoint's does for both */
    int err = demi_truncate(&d->trim, d->qd, (off_t)offset);
    if (err && err != EBUSY) d->error = err;
    if (err) d->trim = 0;
}
