/* SPDX-License-Identifier: MIT
 *
 * Descriptors are small numbers from BASE_QD on, so the map is an array. A descriptor that was closed may still have
 * completions on their way when it is given out again: an endpoint compares tokens, so a late one harms nobody.
 */
#include "server/net/endpoint.h"

#include <string.h>

#include "alloc/base/assert.h"
#include "demi/libos.h"
#include "demi/sga.h"
#include "server/mem.h"

#define BASE_QD 500 /* the first one the library gives out */

void endpoints_fini(struct endpoints *all)
{
    mem_free(all->by_qd);
    *all = (struct endpoints){0};
}

void endpoint_set(struct endpoints *all, int qd, struct endpoint *e)
{
    ASSERT(qd >= BASE_QD);
    ASSERT(!e || e->completed);
    size_t i = (size_t)(qd - BASE_QD);
    if (i >= all->size) {
        size_t size = all->size ? all->size * 2 : 256;
        while (size <= i) size *= 2;
        all->by_qd = mem_realloc(all->by_qd, size * sizeof *all->by_qd);
        memset(all->by_qd + all->size, 0, (size - all->size) * sizeof *all->by_qd);
        all->size = size;
    }
    ASSERT(!all->by_qd[i] == (e != NULL)); /* set once, then removed once */
    all->by_qd[i] = e;
}

static struct endpoint *endpoint_of(const struct endpoints *all, const demi_qresult_t *qr)
{
    if (unlikely(qr->qr_qd < BASE_QD)) return qr->qr_opcode == DEMI_OPC_WAKE ? all->wake : NULL;
    size_t i = (size_t)(qr->qr_qd - BASE_QD);
    return i < all->size ? all->by_qd[i] : NULL;
}

void endpoint_release(const demi_qresult_t *qr)
{
    if (qr->qr_opcode == DEMI_OPC_POP) {
        demi_sgarray_t sga = qr->qr_value.sga;
        if (sga.sga_buf) demi_sgafree(&sga);
    } else if (qr->qr_opcode == DEMI_OPC_ACCEPT) {
        demi_close(qr->qr_value.ares.qd);
    }
}

void endpoint_completed(struct endpoints *all, struct worker *w, const demi_qresult_t *qr)
{
    struct endpoint *e = endpoint_of(all, qr);
    if (likely(e != NULL)) e->completed(e, w, qr);
    else endpoint_release(qr);
}
