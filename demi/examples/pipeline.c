/* SPDX-License-Identifier: MIT
 *
 * A pipeline of threads: one reads a file in pieces, WORKERS of them work on a piece each, one puts the results in
 * order.
 *
 *                 /== pipe "work 0" ==> worker 0 ==\
 *     reader ====<      …                  …        >==== collector, the main thread
 *                 \== pipe "work N" ==> worker N ==/      pipes "done 0" to "done N"
 *
 * Each thread has a library OS of its own, shared memory ("shm"), and nothing of it is another's: no lock, no common
 * state; what they have in common are pipes by name. A pipe is a stream with a bound: who pushes into a full one waits
 * for its token, so that a slow stage holds up those before it, and memory stays what it is. The end of a stage is the
 * end of its stream. The work is a checksum of each piece (CRC-32, and those of all pieces in one); --check does the
 * same by one thread and compares.
 * Usage: pipeline FILE [WORKERS [--check]]
 */
#include "demi/examples/common.h"
#include <demi/ext.h>
#include <demi/sga.h>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#define WORKERS_MAX 16
#define PIECE       32768u

/* What goes before each piece, and is the result of it. */
struct piece {
    uint64_t number;
    uint32_t size, sum;
};

static int worker_count = 2;
static const char *path;
static pthread_barrier_t created;

/* --- the work --------------------------------------------------------------------------------------------------- */

static uint32_t table[256];

static void make_table(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
    }
}

static uint32_t checksum(const void *p, size_t size)
{
    const unsigned char *at = p;
    uint32_t sum = 0xffffffffu;
    for (size_t i = 0; i < size; i++) sum = table[(sum ^ at[i]) & 0xff] ^ sum >> 8;
    return ~sum;
}

/* --- streams of pieces ------------------------------------------------------------------------------------------ */

/* "work" or "done", of this process. Workers create both, and the others open them when all are there (`created`).
 * Whoever has created one stays until it is opened: what nobody has opened is gone when it is closed. */
static int pipe_end(const char *what, int worker, int (*make)(int *, const char *))
{
    char name[64];
    int qd;
    snprintf(name, sizeof name, "pipeline-%ld-%s-%d", (long)getpid(), what, worker);
    MUST(make(&qd, name));
    return qd;
}

/* A stream, of a pipe or of a file, keeps no bounds. */
struct stream {
    int qd;
    demi_sgarray_t in;
    size_t at;
};

/* Bytes are put together until there are `size`, or no more. */
static size_t read_most(struct stream *s, void *to, size_t size)
{
    size_t got = 0;
    while (got < size) {
        if (s->in.sga_numsegs == 0) {
            demi_qtoken_t qt;
            MUST(demi_pop(&qt, s->qd));
            s->in = await(qt).qr_value.sga;
            s->at = 0;
        }
        size_t left = s->in.sga_segs[0].sgaseg_len - s->at, n = size - got < left ? size - got : left;
        memcpy((char *)to + got, (char *)s->in.sga_segs[0].sgaseg_buf + s->at, n);
        got += n;
        s->at += n;
        if (s->at == s->in.sga_segs[0].sgaseg_len) demi_sgafree(&s->in);
        if (n == 0) break;
    }
    return got;
}

/* All of it; 0: the stream has ended before. */
static int read_all(struct stream *s, void *to, size_t size)
{
    size_t got = read_most(s, to, size);
    MUST(got == 0 || got == size ? 0 : EPIPE);
    return got > 0;
}

static void write_all(int qd, const struct piece *p, const void *bytes, size_t size)
{
    struct iovec pieces[2] = {{(void *)(uintptr_t)p, sizeof *p}, {(void *)(uintptr_t)bytes, size}};
    demi_qtoken_t qt;
    MUST(demi_pushv(&qt, qd, pieces, 2, 0));
    await(qt);
}

/* --- the stages ------------------------------------------------------------------------------------------------- */

static void *work(void *arg)
{
    const int me = (int)(intptr_t)arg;
    char bytes[PIECE];
    struct piece p;
    MUST(demi_init_with("shm", NULL));
    struct stream in = {.qd = pipe_end("work", me, demi_create_pipe)};
    int out = pipe_end("done", me, demi_create_pipe);
    pthread_barrier_wait(&created);
    while (read_all(&in, &p, sizeof p)) {
        MUST(p.size <= PIECE && read_all(&in, bytes, p.size) ? 0 : EPROTO);
        p.sum = checksum(bytes, p.size);
        write_all(out, &p, NULL, 0);
    }
    MUST(demi_close(out));
    MUST(demi_close(in.qd));
    MUST(demi_exit());
    return NULL;
}

/* The file is a queue beside the pipes. */
static void *read_file(void *arg)
{
    static char bytes[PIECE];
    int out[WORKERS_MAX];
    struct piece p = {0};
    struct stream file = {0};
    size_t size;
    MUST(demi_init_with("shm", NULL));
    MUST(demi_open(&file.qd, path, O_RDONLY, 0));
    for (int i = 0; i < worker_count; i++) out[i] = pipe_end("work", i, demi_open_pipe);
    for (; (size = read_most(&file, bytes, sizeof bytes)) > 0; p.number++) {
        p.size = (uint32_t)size;
        write_all(out[p.number % (unsigned)worker_count], &p, bytes, size);
    }
    for (int i = 0; i < worker_count; i++) MUST(demi_close(out[i]));
    MUST(demi_close(file.qd));
    MUST(demi_exit());
    return arg;
}

/* Piece n is the worker's n % worker_count: to ask them in turn is to have all in order. */
static uint64_t collect(struct stream done[], uint32_t *all, uint64_t *bytes)
{
    struct piece p;
    uint64_t number = 0;
    *all = 0;
    *bytes = 0;
    for (; read_all(&done[number % (unsigned)worker_count], &p, sizeof p); number++) {
        MUST(p.number == number ? 0 : EPROTO);
        uint32_t both[2] = {*all, p.sum};
        *all = checksum(both, sizeof both);
        *bytes += p.size;
    }
    return number;
}

/* The same by one thread and the kernel's calls. */
static int is_right(uint32_t all, uint64_t pieces)
{
    static char bytes[PIECE];
    uint32_t sum = 0;
    uint64_t number = 0;
    FILE *file = fopen(path, "rb");
    if (!file) MUST(errno);
    for (size_t size; (size = fread(bytes, 1, sizeof bytes, file)) > 0; number++) {
        uint32_t both[2] = {sum, checksum(bytes, size)};
        sum = checksum(both, sizeof both);
    }
    fclose(file);
    return sum == all && number == pieces;
}

int main(int argc, char *const argv[])
{
    pthread_t reader, workers[WORKERS_MAX];
    struct stream done[WORKERS_MAX] = {{0}};
    int is_checked = argc == 4 && strcmp(argv[3], "--check") == 0;
    if (argc > 2) worker_count = (int)strtol(argv[2], NULL, 10);
    if (argc < 2 || argc > 4 || (argc == 4 && !is_checked) || worker_count < 1 || worker_count > WORKERS_MAX) {
        fprintf(stderr, "usage: %s FILE [WORKERS [--check]]          at most %d workers\n", argv[0], WORKERS_MAX);
        return 1;
    }
    path = argv[1];
    if (access(path, R_OK)) MUST(errno);
    make_table();
    MUST(demi_init_with("shm", NULL));
    MUST(pthread_barrier_init(&created, NULL, (unsigned)worker_count + 1));
    for (int i = 0; i < worker_count; i++) MUST(pthread_create(&workers[i], NULL, work, (void *)(intptr_t)i));
    pthread_barrier_wait(&created);
    for (int i = 0; i < worker_count; i++) done[i].qd = pipe_end("done", i, demi_open_pipe);
    MUST(pthread_create(&reader, NULL, read_file, NULL)); /* now that results have somewhere to go */
    uint32_t all;
    uint64_t bytes, pieces = collect(done, &all, &bytes);
    MUST(pthread_join(reader, NULL));
    for (int i = 0; i < worker_count; i++) MUST(pthread_join(workers[i], NULL));
    printf("%llu pieces, %llu bytes, %08x, by %d workers\n", (unsigned long long)pieces, (unsigned long long)bytes, all,
           worker_count);
    MUST(!is_checked || is_right(all, pieces) ? 0 : EBADMSG);
    return demi_exit();
}
