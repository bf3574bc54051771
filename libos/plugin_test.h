/* SPDX-License-Identifier: MIT
 *
 * A device plug-in of this build, loaded as the library loads it: for tests. Each case runs in a child of its own,
 * because DPDK starts once a process and namespaces stay with one; there CHECK ends the child, and the case with it.
 */
#ifndef LIBOS_PLUGIN_TEST_H
#define LIBOS_PLUGIN_TEST_H

#include "libos/inet/plugin.h"
#include "libos/border.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/heap.h"

#define PATIENCE (10 * NSEC_PER_SEC)
#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) {                                                                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                                                 \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

static char plugin_path[512];
static netdev_open_fn open_plugin;
static __thread char why[256];

static inline const char *get(void *arg, const char *key)
{
    size_t n = strlen(key);
    for (const char *const *s = arg; *s; s++)
        if (!strncmp(*s, key, n) && (*s)[n] == '=') return *s + n + 1;
    return NULL;
}

/* Settings are "key=value"; NULL: none. What the plug-in says of a failure is in `why`. */
static inline int try_open(struct netdev **out, const char *a, const char *b, const char *c)
{
    const char *settings[] = {a, b ? b : c, b ? c : NULL, NULL};
    struct netdev_env env = {.get = get, .arg = settings, .why = why};
    why[0] = 0;
    return open_plugin(&env, out);
}

static inline void in_child(void (*body)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGSYS};
        /* not cmocka's, which hides them */
        for (unsigned i = 0; i < sizeof faults / sizeof *faults; i++) signal(faults[i], SIG_DFL);
        alarm(60);
        body();
        exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

#define CASE(name, body)                                                                                               \
    static void name(void **state) { in_child(body); }

/* Whether this build has the plug-in; plugin_path is where. */
static inline bool find_plugin(const char *name)
{
    char *end = NULL;
    ssize_t n = readlink("/proc/self/exe", plugin_path, sizeof plugin_path - 64);
    for (int i = 0; n > 0 && i < 4; i++) { /* BUILD/tests/libos/NAME/NAME_test */
        plugin_path[n] = 0;
        end = strrchr(plugin_path, '/');
        if (!end) return false;
        *end = 0;
        n = end - plugin_path;
    }
    if (!end) return false;
    snprintf(end, 64, "/libdemikernel-%s.so", name);
    return !access(plugin_path, F_OK);
}

/* Fills open_plugin; says in TAP what is wrong. */
static inline bool load_plugin(const char *name)
{
    void *so = dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL);
    netdev_plugin_fn entry = so ? (netdev_plugin_fn)dlsym(so, NETDEV_PLUGIN_SYMBOL) : NULL;
    if (!entry) {
        printf("Bail out! %s\n", dlerror());
        return false;
    }
    const struct netdev_plugin *plugin = entry(&plugin_host);
    if (plugin->abi != NETDEV_ABI || strcmp(plugin->name, name)) {
        printf("Bail out! %s is not the plug-in %s\n", plugin_path, name);
        return false;
    }
    open_plugin = plugin->open;
    return true;
}

#endif
