/* SPDX-License-Identifier: MIT
 *
 * run [-v] [-w] [-o] PATH…: packet scripts (and those in folders), one TAP case each; -w: each once more, with sequence
 * numbers that wrap; -o: once more, with a device's offloads. Each runs in a process of its own, so that one that makes
 * the stack crash, or go round for ever, fails alone.
 */
#include "tests/packets/runner/run.h"

#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRIPTS_MAX 2048
#define SECONDS_MAX 30 /* of real time a script */
#define OUTPUT_MAX  (1 << 18)

static const char *paths[SCRIPTS_MAX];
static unsigned path_count;
static bool verbose;
static unsigned also; /* enum run_also */

static int add_path(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    size_t n = strlen(path);
    if (kind != FTW_F || n < 4 || strcmp(path + n - 4, ".pkt")) return 0;
    if (path_count == SCRIPTS_MAX) return 1;
    paths[path_count] = strdup(path);
    return paths[path_count++] ? 0 : 1;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool run_one(const char *path, FILE *log)
{
    static struct script s;
    bool ok = false;
    if (script_parse(&s, path)) fprintf(log, "# %s: %s\n", path, s.error);
    else ok = run_script(&s, verbose, also, log);
    script_free(&s);
    return ok;
}

static _Noreturn void child(const char *path, int out)
{
    FILE *log = fdopen(out, "w");
    dup2(out, STDERR_FILENO);
    alarm(SECONDS_MAX);
    if (!log) _exit(2);
    setvbuf(log, NULL, _IOLBF, 0);
    bool ok = run_one(path, log);
    fflush(log);
    _exit(ok ? 0 : 1);
}

static size_t read_all(int fd, char *out)
{
    size_t n = 0;
    ssize_t got;
    char rest[4096];
    while (n < OUTPUT_MAX && (got = read(fd, out + n, OUTPUT_MAX - n)) > 0) n += (size_t)got;
    while (n == OUTPUT_MAX && read(fd, rest, sizeof rest) > 0) {
    }
    return n;
}

/* "ok 3 - close/simultaneous", and behind a failure what the script said. */
static bool run_case(const char *path, unsigned number)
{
    static char out[OUTPUT_MAX + 1];
    int ends[2], status = -1;
    fflush(stdout);
    if (pipe(ends)) return false;
    pid_t pid = fork();
    if (pid == 0) child(path, ends[1]);
    close(ends[1]);
    size_t n = pid > 0 ? read_all(ends[0], out) : 0;
    close(ends[0]);
    if (pid > 0) waitpid(pid, &status, 0);
    const char *name = strstr(path, "packets/");
    printf("%sok %u - %s\n", status ? "not " : "", number, name ? name + strlen("packets/") : path);
    if (WIFSIGNALED(status)) printf("# %s: died of %s\n", path, strsignal(WTERMSIG(status)));
    if (status || verbose) fwrite(out, 1, n, stdout);
    return status == 0;
}

int main(int argc, char **argv)
{
    unsigned failed = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "-v")) verbose = true;
        else if (!strcmp(argv[i], "-w")) also |= RUN_WRAP;
        else if (!strcmp(argv[i], "-o")) also |= RUN_OFFLOAD;
        else if (nftw(argv[i], add_path, 16, FTW_PHYS)) fprintf(stderr, "%s: cannot be read\n", argv[i]);
    }
    if (!path_count) {
        fprintf(stderr, "usage: %s [-v] [-w] [-o] SCRIPT|FOLDER...\n", argv[0]);
        return 2;
    }
    qsort(paths, path_count, sizeof *paths, by_name);
    printf("1..%u\n", path_count);
    for (unsigned i = 0; i < path_count; i++) failed += !run_case(paths[i], i + 1);
    return failed != 0;
}
