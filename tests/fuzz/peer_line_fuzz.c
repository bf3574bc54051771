/* SPDX-License-Identifier: MIT
 *
 * What another server answers, read line by line: the first byte says into how many pieces the rest is cut. Each line
 * is one of the input's, shorter than the bound; the first that is not, or the end, closes the link, and nothing is
 * left.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "alloc/base/assert.h"
#include "demi/ext.h"
#include "demi/libos.h"
#include "server/migrate/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool get_ready(void)
{
    static bool tried, ready;
    if (!tried) ready = demi_init_with("posix", NULL) == 0;
    tried = true;
    return ready;
}

static void feed(int qd, const uint8_t *p, size_t n, size_t piece)
{
    for (size_t at = 0; at < n; at += piece) {
        demi_qtoken_t qt;
        struct iovec iov = {(void *)(uintptr_t)(p + at), n - at < piece ? n - at : piece};
        if (demi_pushv(&qt, qd, &iov, 1, DEMI_PUSH_NO_TOKEN) != 0) break;
    }
}

/* The input's next line, as the link is to give it. */
static size_t next_line(const uint8_t *p, size_t n, size_t *size)
{
    const uint8_t *end = n ? memchr(p, '\n', n) : NULL;
    if (!end) return 0;
    *size = (size_t)(end - p);
    if (*size && p[*size - 1] == '\r') (*size)--;
    return (size_t)(end - p) + 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peer_link l;
    char line[LINK_LINE_MAX];
    if (size < 2 || size > 16384 || !get_ready()) return 0;
    link_init(&l);
    if (demi_queue(&l.qd) != 0) return 0;
    size_t piece = 1 + data[0] * 8u;
    data++, size--;
    feed(l.qd, data, size, piece);
    for (;;) {
        size_t n = 0, used = next_line(data, size, &n);
        int err = link_read_line(&l, line, sizeof line, 0);
        if (err) {
            ASSERT(err == -EPROTO || err == -ETIMEDOUT || err == -ECONNRESET);
            ASSERT(!link_is_open(&l));
            ASSERT(!used || n + 1 >= sizeof line - 1 || err != -EPROTO);
            break;
        }
        ASSERT(used && n < sizeof line);
        ASSERT(memcmp(line, data, n) == 0);
        ASSERT(line[n] == 0);
        data += used, size -= used;
    }
    link_close(&l);
    return 0;
}
