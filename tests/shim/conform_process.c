/* SPDX-License-Identifier: MIT
 *
 * Conformance: threads, processes, stdio.
 */
#include "tests/shim/conform.h"

#include <sys/sendfile.h>

static void *read_one(void *arg)
{
    char c;
    return (void *)(long)read(*(int *)arg, &c, 1);
}

static void *add_to_set(void *arg)
{
    int *fds = arg;
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = 42};
    usleep(50000);
    epoll_ctl(fds[0], EPOLL_CTL_ADD, fds[1], &ev);
    return NULL;
}

static void *echo(void *arg)
{
    char some[100];
    int fd = (int)(long)arg;
    ssize_t n;
    while ((n = read(fd, some, sizeof some)) > 0) write(fd, some, (size_t)n);
    close(fd);
    return NULL;
}

void threads(void)
{
    struct pair p = new_pair();
    pthread_t t[4];
    void *r = NULL;
    char some[100];
    pthread_create(&t[0], NULL, read_one, &p.server);
    usleep(30000);
    write(p.client, "x", 1);
    pthread_join(t[0], &r);
    VALUE("a thread is woken by another's write", (long)r);
    pthread_create(&t[0], NULL, read_one, &p.server);
    usleep(30000);
    VALUE("a write while it sleeps", write(p.server, "y", 1));
    VALUE("comes", read_whole(p.client, some, 1));
    shutdown(p.client, SHUT_WR);
    pthread_join(t[0], &r);
    VALUE("and it hears of the end", (long)r);
    close_pair(&p);
    /* accepted here, served there */
    struct sockaddr_in addr;
    int l = new_listener(&addr), c[4];
    for (int i = 0; i < 4; i++) {
        c[i] = socket(AF_INET, SOCK_STREAM, 0);
        connect(c[i], (struct sockaddr *)&addr, sizeof addr);
        pthread_create(&t[i], NULL, echo, (void *)(long)accept(l, NULL, NULL));
    }
    long sum = 0;
    for (int round = 0; round < 200; round++)
        for (int i = 0; i < 4; i++) {
            write(c[i], "12345", 5);
            sum += read_whole(c[i], some, 5);
        }
    VALUE("four threads serve", sum);
    for (int i = 0; i < 4; i++) close(c[i]);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    close(l);
    /* a thread in epoll_wait hears of what another adds */
    p = new_pair();
    write(p.client, "x", 1);
    int fds[2] = {epoll_create1(0), p.server};
    struct epoll_event ev = {0};
    pthread_create(&t[0], NULL, add_to_set, fds);
    CALL("added while it waits", epoll_wait(fds[0], &ev, 1, 2000));
    VALUE("with its data", ev.data.u64);
    pthread_join(t[0], NULL);
    close(fds[0]);
    /* closed while another waits: Linux lets it wait */
    pthread_create(&t[0], NULL, read_one, &p.client);
    usleep(30000);
    int server = p.server;
    close(p.client);
    write(server, "z", 1);
    pthread_join(t[0], &r);
    VALUE("closed while another waits", (long)r);
    close(p.server), close(p.listener);
}

void processes(void)
{
    struct pair p = new_pair();
    int status = 0;
    char some[16];
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        close(p.server), close(p.client), close(p.listener);
        struct pair q = new_pair();
        bool works = write(q.client, "abc", 3) == 3 && read_whole(q.server, some, 3) == 3;
        _exit(works ? 3 : 4);
    }
    waitpid(pid, &status, 0);
    VALUE("a child has sockets of its own", WEXITSTATUS(status));
    VALUE("the parent's live on", write(p.client, "abc", 3));
    VALUE("both ways", read_whole(p.server, some, 3));
    CALL("system", system("exit 5") >> 8);
    VALUE("after system", write(p.client, "abc", 3));
    VALUE("read", read_whole(p.server, some, 3));
    pid = vfork();
    if (!pid) {
        close(p.server);
        close(p.client);
        execl("/bin/true", "true", (char *)NULL);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    VALUE("vfork and exec", WEXITSTATUS(status));
    VALUE("after vfork", write(p.client, "abc", 3));
    VALUE("read that", read_whole(p.server, some, 3));
    close_pair(&p);
}

void streams(void)
{
    struct pair p = new_pair();
    char line[64] = "";
    FILE *in = fdopen(p.server, "r"), *out = fdopen(dup(p.client), "w");
    VALUE("fdopen", in && out);
    VALUE("fprintf", fprintf(out, "line %d\n", 1));
    VALUE("fflush", fflush(out));
    VALUE("fgets", fgets(line, sizeof line, in) != NULL);
    VALUE("the line", !strcmp(line, "line 1\n"));
    VALUE("dprintf", dprintf(p.client, "%s %d\n", "second", 2));
    VALUE("fgets again", fgets(line, sizeof line, in) != NULL);
    VALUE("that line", !strcmp(line, "second 2\n"));
    VALUE("fclose", fclose(out));
    close(p.client);
    VALUE("end of file", fgets(line, sizeof line, in) == NULL && feof(in));
    fclose(in);
    FILE *file = tmpfile();
    p.client = socket(AF_INET, SOCK_STREAM, 0);
    connect(p.client, (struct sockaddr *)&p.addr, sizeof p.addr);
    p.server = accept(p.listener, NULL, NULL);
    fputs("from a file", file), fflush(file);
    off_t at = 5;
    VALUE("sendfile", sendfile(p.client, fileno(file), &at, 100));
    VALUE("its offset", at);
    VALUE("comes", read_whole(p.server, line, 6));
    VALUE("is it", !memcmp(line, "a file", 6));
    fclose(file);
    int sv[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
    VALUE("socketpair", write(sv[0], "abc", 3) == 3 && read(sv[1], line, 8) == 3);
    close(sv[0]), close(sv[1]);
    close_pair(&p);
}
