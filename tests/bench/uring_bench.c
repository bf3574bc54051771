/* SPDX-License-Identifier: MIT
 *
 * From which size on a send without a copy may pay (uring.zero_copy_bytes): the sender's processor time of plain sends
 * and of SEND_ZC, over loopback, by turns. Loopback copies all the same, behind the socket instead of in front of it,
 * so what a SEND_ZC takes longer is what it costs by itself, pages and notification; what a plain send takes longer for
 * more bytes is the copy. The size at which the one is the other is where a device that does not copy begins to save.
 * Medians of ROUNDS.
 */
#include <stdio.h>

#if __has_include(<liburing.h>)
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { ROUNDS = 9, SENDS = 400, SIZES = 8, FIRST = 4096 };

static struct io_uring ring;

static void *drain(void *arg)
{
    while (recv(*(int *)arg, NULL, 1 << 20, MSG_TRUNC) > 0) continue;
    return NULL;
}

static int pair_of(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 1) ||
        getsockname(listener, (struct sockaddr *)&at, &size))
        return -1;
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fds[0], (struct sockaddr *)&at, sizeof at)) return -1;
    fds[1] = accept(listener, NULL, NULL);
    close(listener);
    return setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static double cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

/* Completions until the request is through, its notification too. False: it failed. */
static bool wait_for_it(void)
{
    for (bool more = true; more;) {
        struct io_uring_cqe *cqe;
        if (io_uring_submit_and_wait(&ring, 1) < 0 || io_uring_peek_cqe(&ring, &cqe)) return false;
        if (!(cqe->flags & IORING_CQE_F_NOTIF) && cqe->res <= 0) return false;
        more = cqe->flags & IORING_CQE_F_MORE;
        io_uring_cqe_seen(&ring, cqe);
    }
    return true;
}

/* Microseconds a send; negative: it failed. */
static double sends(int fd, const char *bytes, size_t size, bool without_copy)
{
    double start = cpu_us();
    for (int i = 0; i < SENDS; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
        if (without_copy) io_uring_prep_send_zc(sqe, fd, bytes, size, MSG_WAITALL, 0);
        else io_uring_prep_send(sqe, fd, bytes, size, MSG_WAITALL);
        if (!wait_for_it()) return -1;
    }
    return (cpu_us() - start) / SENDS;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *of)
{
    qsort(of, ROUNDS, sizeof *of, by_value);
    return of[ROUNDS / 2];
}

int main(void)
{
    static double us[SIZES][2][ROUNDS];
    int fds[2];
    pthread_t thread;
    char *bytes = aligned_alloc(4096, FIRST << SIZES);
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    if (!bytes || io_uring_queue_init_params(8, &ring, &p) || pair_of(fds)) return 1;
    memset(bytes, 1, FIRST << SIZES);
    if (pthread_create(&thread, NULL, drain, &fds[1])) return 1;
    for (int round = 0; round < ROUNDS; round++)
        for (int k = 0; k < SIZES; k++)
            for (int way = 0; way < 2; way++) {
                us[k][way][round] = sends(fds[0], bytes, (size_t)FIRST << k, way);
                if (us[k][way][round] < 0) return 1;
            }
    puts("KiB a send, CPU us: plain, SEND_ZC with a copy behind, difference");
    double plain[SIZES], held[SIZES];
    for (int k = 0; k < SIZES; k++) {
        plain[k] = median(us[k][0]);
        held[k] = median(us[k][1]);
        printf("%5d  %8.2f %8.2f %8.2f\n", FIRST << k >> 10, plain[k], held[k], held[k] - plain[k]);
    }
    shutdown(fds[0], SHUT_RDWR);
    pthread_join(thread, NULL);
    return 0;
}

#else
int main(void)
{
    puts("built without liburing");
    return 0;
}
#endif
