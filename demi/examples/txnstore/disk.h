/* SPDX-License-Identifier: MIT
 *
 * A replica's memory beyond its life: a log on a storage queue. Records are durable in the order in which they were
 * pushed; a push has a number, and `durable` says up to which.
 */
#ifndef DEMI_EXAMPLES_TXNSTORE_DISK_H
#define DEMI_EXAMPLES_TXNSTORE_DISK_H

#include <demi/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { TXN_PUSHES_MAX = 512 }; /* outstanding at once */

struct txn_disk {
    int qd;
    uint64_t pushed, durable;         /* numbers, from 1 */
    uint64_t offsets[TXN_PUSHES_MAX]; /* by number: of those that are durable */
    demi_qtoken_t trim;               /* outstanding, or 0 */
    int error;                        /* the first: nothing is durable any more */
};

/* Calls fn with each record, in order, and its offset; what fn returns but 0 ends it. create: there may be no log yet.
 * 0, the errno of the log (demi_open(3)), or fn's. */
typedef int (*txn_disk_fn)(void *arg, uint64_t offset, const uint8_t *bytes, size_t size);
int txn_disk_open(struct txn_disk *d, const char *path, bool create, txn_disk_fn fn, void *arg);
/* Waits for what was pushed. */
void txn_disk_close(struct txn_disk *d);

/* Appends one record; returns its number, 0: not now (what is outstanding has to end first), or d->error. */
uint64_t txn_disk_push(struct txn_disk *d, const struct iovec *iov, int count);
/* A result of the queue: true if something became durable. */
bool txn_disk_take(struct txn_disk *d, const demi_qresult_t *qr);
/* What lies before the offset goes. */
void txn_disk_trim(struct txn_disk *d, uint64_t offset);

#endif
