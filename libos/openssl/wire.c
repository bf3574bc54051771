/* SPDX-License-Identifier: MIT
 *
 * A BIO in memory that is not OpenSSL's own: that one copies what it is given, and grows. This one reads from the
 * buffer the network gave and writes into the one that goes there.
 */
#include "libos/openssl/parts.h"

#include <pthread.h>
#include <string.h>

static BIO_METHOD *method;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int wire_read(BIO *b, char *to, int n)
{
    struct tls_wire *w = *(struct tls_wire **)BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (n <= 0) return 0;
    if (!w->in_len) {
        BIO_set_retry_read(b);
        return -1;
    }
    uint32_t k = (uint32_t)n < w->in_len ? (uint32_t)n : w->in_len;
    memcpy(to, w->in, k);
    w->in += k;
    w->in_len -= k;
    return (int)k;
}

static int wire_write(BIO *b, const char *from, int n)
{
    struct tls_wire *w = *(struct tls_wire **)BIO_get_data(b);
    uint32_t room = w->room - w->out_len;
    BIO_clear_retry_flags(b);
    if (n <= 0) return 0;
    if (!room) {
        BIO_set_retry_write(b);
        return -1;
    }
    uint32_t k = (uint32_t)n < room ? (uint32_t)n : room;
    memcpy(w->out + w->out_len, from, k);
    w->out_len += k;
    return (int)k;
}

/* What is written is there at once. The other questions are for BIOs over others. */
static long wire_ctrl(BIO *b, int what, long arg, void *p) { return what == BIO_CTRL_FLUSH; }

static int wire_create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

static void method_make(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "demikernel");
    if (!method) return;
    BIO_meth_set_read(method, wire_read);
    BIO_meth_set_write(method, wire_write);
    BIO_meth_set_ctrl(method, wire_ctrl);
    BIO_meth_set_create(method, wire_create);
}

BIO *wire_bio_new(struct tls_wire **wire)
{
    pthread_once(&once, method_make);
    BIO *b = method ? BIO_new(method) : NULL;
    if (b) BIO_set_data(b, wire);
    return b;
}
