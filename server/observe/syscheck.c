/* SPDX-License-Identifier: MIT
 *
 * The checks, their names and what they find wrong are those of redis-server 7.2, since programs that install servers
 * read them; the advice is ours.
 */
#include "server/observe/syscheck.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define CLOCK_TEST_US 50000 /* five ticks of getrusage()'s clock */

enum check_verdict { WRONG, UNKNOWN, FINE };

struct finding {
    const char *root;
    char advice[768]; /* written when it is WRONG */
};

/* The first line of a file of the system, without its end. */
static bool read_line(const char *root, const char *path, char *out, size_t size)
{
    char where[512];
    snprintf(where, sizeof where, "%s%s", root, path);
    FILE *f = fopen(where, "re");
    if (!f) return false;
    bool got = fgets(out, (int)size, f);
    fclose(f);
    if (got) out[strcspn(out, "\n")] = 0;
    return got;
}

static long long us_of(struct timeval t) { return (long long)t.tv_sec * 1000000 + t.tv_usec; }

bool syscheck_clock_is_slow(long long user_us, long long system_us) { return system_us * 10 > user_us + system_us; }

#define CLOCKS "/sys/devices/system/clocksource/clocksource0/"

/* A clock that is read without a system call spends its time in the program; another one's goes to the system. */
static enum check_verdict slow_clock(struct finding *f)
{
    struct rusage before, after;
    struct timespec from, now;
    if (getrusage(RUSAGE_SELF, &before) || clock_gettime(CLOCK_MONOTONIC, &from)) return UNKNOWN;
    do {
        if (clock_gettime(CLOCK_MONOTONIC, &now)) return UNKNOWN;
    } while ((now.tv_sec - from.tv_sec) * 1000000 + (now.tv_nsec - from.tv_nsec) / 1000 < CLOCK_TEST_US);
    if (getrusage(RUSAGE_SELF, &after)) return UNKNOWN;
    if (!syscheck_clock_is_slow(us_of(after.ru_utime) - us_of(before.ru_utime),
                                us_of(after.ru_stime) - us_of(before.ru_stime)))
        return FINE;
    char clock[128] = "", others[256] = "";
    read_line(f->root, CLOCKS "current_clocksource", clock, sizeof clock);
    read_line(f->root, CLOCKS "available_clocksource", others, sizeof others);
    snprintf(f->advice, sizeof f->advice,
             "Reading the clock takes a system call here (clock source '%s'), which costs speed. Available are: %s. As "
             "root: 'echo tsc > " CLOCKS "current_clocksource'; to keep it, boot with 'clocksource=tsc'.",
             clock, others);
    return WRONG;
}

static enum check_verdict xen_clock(struct finding *f)
{
    char clock[128];
    if (!read_line(f->root, CLOCKS "current_clocksource", clock, sizeof clock)) return UNKNOWN;
    if (strcmp(clock, "xen") != 0) return FINE;
    snprintf(f->advice, sizeof f->advice,
             "The clock source is 'xen', which is slow to read; 'tsc' is better where there is one. The check "
             "[slow-clocksource] says whether it matters here.");
    return WRONG;
}

static enum check_verdict overcommit(struct finding *f)
{
    char mode[64];
    if (!read_line(f->root, "/proc/sys/vm/overcommit_memory", mode, sizeof mode)) return UNKNOWN;
    if (strtol(mode, NULL, 10) == 1) return FINE;
    snprintf(
        f->advice, sizeof f->advice,
        "vm.overcommit_memory is %s, not 1: the system may refuse memory to a server that reserves more of it than it "
        "touches. Run 'sysctl vm.overcommit_memory=1', and put 'vm.overcommit_memory = 1' into /etc/sysctl.conf to "
        "keep it.",
        mode);
    return WRONG;
}

static enum check_verdict huge_pages(struct finding *f)
{
    char modes[256];
    if (!read_line(f->root, "/sys/kernel/mm/transparent_hugepage/enabled", modes, sizeof modes)) return UNKNOWN;
    if (!strstr(modes, "[always]")) return FINE;
    snprintf(
        f->advice, sizeof f->advice,
        "Transparent huge pages are on for all memory, also where a server asks for small ones: it takes more memory, "
        "and pauses while pages are cleared. As root: 'echo madvise > "
        "/sys/kernel/mm/transparent_hugepage/enabled', at each boot, then start the server again.");
    return WRONG;
}

static const struct system_check {
    const char *name;
    enum check_verdict (*find)(struct finding *f);
} checks[] = {
    {"slow-clocksource", slow_clock},
    {"xen-clocksource", xen_clock},
    {"overcommit", overcommit},
    {"THP", huge_pages},
};

bool syscheck_run(FILE *out, const char *root)
{
    static const char *const words[] = {[WRONG] = "WARNING:", [UNKNOWN] = "skipped", [FINE] = "OK"};
    bool fine = true;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        struct finding f = {.root = root};
        enum check_verdict v = checks[i].find(&f);
        fprintf(out, "[%s]...%s\n", checks[i].name, words[v]);
        if (v == WRONG) fprintf(out, "%s\n", f.advice);
        fine &= v != WRONG;
    }
    return fine;
}
