/* SPDX-License-Identifier: MIT
 *
 * See device.h: the coroutine of a device of logs, and its requests. How the file is opened and made is open.c.
 */
#include "libos/log/device.h"

#include "alloc/base/assert.h"
#include "alloc/base/log.h"
#include "libos/log/open.h"
#include "libos/runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

void alog_device_tell(const struct alog_device *d, const char *text)
{
    log_warning(NULL, "log %.200s: %s", d->path, text);
}

/* --- requests ----------------------------------------------------------------------------------------------------- */

struct io_call { /* on the stack of the coroutine that waits for it */
    struct list link;
    struct alog_co *co;
    unsigned left;   /* requests that have not ended */
    bool wants_room; /* some are not posted */
    int err;
};

static void on_news(void *arg)
{
    struct alog_device *d = arg;
    if (d->has_news) return;
    d->has_news = true;
    d->home->news++;
    runtime_need_flush(d->home->base.rt);
}

static void end_request(struct alog_device *d, const struct blockdev_completion *done)
{
    struct io_call *call = (struct io_call *)(uintptr_t)done->word;
    ASSERT(d->out > 0);
    ASSERT(call->left > 0);
    d->out--;
    if (done->err && !call->err) call->err = -done->err;
    if (--call->left == 0) alog_co_wake(call->co);
}

void alog_device_poll(struct alog_device *d)
{
    struct blockdev_completion done[BLOCKDEV_BURST];
    unsigned n;
    if (!d->has_news) return;
    d->has_news = false;
    d->home->news--;
    while (d->dev && (n = d->dev->ops->poll(d->dev, done, BLOCKDEV_BURST)))
        for (unsigned i = 0; i < n; i++) end_request(d, &done[i]);
    list_for_each(it, &d->calls)
    {
        struct io_call *call = list_entry(it, struct io_call, link);
        if (call->wants_room) alog_co_wake(call->co);
    }
}

/* store.run, inside of a coroutine. */
static int run(struct alog_store *s, const struct blockdev_request *in, unsigned n)
{
    struct alog_device *d = container_of(s, struct alog_device, store);
    struct io_call call = {.co = d->home->cos.running, .left = n};
    struct blockdev_request r[BLOCKDEV_BURST];
    ASSERT(call.co);
    ASSERT(n > 0 && n <= BLOCKDEV_BURST);
    for (unsigned i = 0; i < n; i++) {
        r[i] = in[i];
        r[i].word = (uintptr_t)&call;
    }
    list_push_back(&d->calls, &call.link);
    for (unsigned posted = 0; call.left;) {
        unsigned taken = posted < n ? d->dev->ops->post(d->dev, r + posted, n - posted) : 0;
        posted += taken;
        d->out += taken;
        call.wants_room = posted < n;
        if (!d->out && call.wants_room) { /* and nothing is there that would make some */
            call.left -= n - posted;
            call.err = -ENOMEM;
            break;
        }
        alog_co_suspend(&d->home->cos);
    }
    list_remove(&call.link);
    return call.err;
}

/* --- queues come and go ------------------------------------------------------------------------------------------- */

/* A new log is there when the superblock says so. */
static int make_log(struct alog_device *d, struct alog_queue *q, struct alog_log **log)
{
    if (!(q->flags & O_CREAT)) return -ENOENT;
    if (d->read_only) return -EROFS;
    if (d->error) return -d->error;
    int err = alog_image_add(&d->im, q->name, log);
    if (err) return err;
    do {
        d->super_wanted = true;
        alog_commit(d);
    } while (!d->error && d->super_wanted);
    return -d->error;
}

static int find_log(struct alog_device *d, struct alog_queue *q, struct alog_log **log)
{
    *log = alog_image_find(&d->im, q->name);
    if (!*log) return make_log(d, q, log);
    if ((q->flags & O_CREAT) && (q->flags & O_EXCL)) return -EEXIST;
    if (d->read_only && (q->flags & O_ACCMODE) != O_RDONLY) return -EROFS;
    return (*log)->damaged ? -EUCLEAN : 0;
}

/* Those that wait to be opened are. err: the device is not. */
static void take_opens(struct alog_device *d, int err)
{
    while (!list_is_empty(&d->opens)) {
        struct alog_queue *q = list_entry(d->opens.next, struct alog_queue, link);
        struct alog_log *log = NULL;
        int why = err ? err : find_log(d, q, &log);
        list_remove(&q->link);
        if (q->is_closed) {
            alog_queue_free(q, 0);
            continue;
        }
        if (why) {
            alog_queue_fail_open(q, -why);
            continue;
        }
        list_push_back(&log->queues, &q->link);
        d->queue_count++;
        alog_queue_attach(q, log);
    }
}

/* A closed queue whose log has nothing to write any more; NULL: there is none. */
static struct alog_queue *find_closed(const struct alog_device *d)
{
    for (uint32_t i = 0; i < d->im.super.log_count; i++) list_for_each(it, &d->im.logs[i]->queues)
        {
            struct alog_queue *q = list_entry(it, struct alog_queue, link);
            if (q->is_closed && !q->co && (d->error || list_is_empty(&q->log->batches))) return q;
        }
    return NULL;
}

static void leave_device(struct alog_device *d, struct alog_queue *q, int err)
{
    list_remove(&q->link);
    d->queue_count--;
    alog_queue_free(q, err);
}

/* Until at most one queue is left, which is closed. */
static struct alog_queue *work(struct alog_device *d)
{
    for (;;) {
        take_opens(d, 0);
        if (alog_has_work(d)) {
            alog_commit(d);
            continue;
        }
        if (!d->queue_count) return NULL;
        struct alog_queue *q = find_closed(d);
        if (q && d->queue_count == 1 && list_is_empty(&d->opens)) return q;
        if (q) leave_device(d, q, d->error);
        else alog_co_suspend(&d->home->cos);
    }
}

/* The superblock tells the next start up to where all was durable, so that less has to be read. */
static int shut(struct alog_device *d)
{
    int err = -d->error;
    if (!err && !d->read_only) {
        d->super_wanted = true;
        while (d->super_wanted && !d->error) alog_commit(d);
        err = -d->error;
    }
    return err;
}

static void device_close(struct alog_device *d, int *err)
{
    d->is_open = false;
    alog_commit_fini(d);
    alog_image_fini(&d->im);
    alog_close_file(d, err);
}

void alog_device_main(void *arg)
{
    struct alog_device *d = arg;
    d->store = (struct alog_store){.run = run, .may_wait = true};
    while (!list_is_empty(&d->opens)) {
        const struct alog_queue *first = list_entry(d->opens.next, struct alog_queue, link);
        d->flags = first->flags;
        d->read_only = (first->flags & O_ACCMODE) == O_RDONLY && !(first->flags & O_CREAT);
        d->error = 0;
        d->im.why[0] = 0;
        int err = alog_open_file(d, on_news);
        if (err) {
            if (d->im.why[0]) alog_device_tell(d, d->im.why);
            take_opens(d, err);
            continue;
        }
        d->is_open = true;
        struct alog_queue *last = work(d);
        if (last) list_remove(&last->link);
        d->queue_count = 0;
        err = shut(d);
        device_close(d, &err);
        if (last) alog_queue_free(last, -err);
    }
}
