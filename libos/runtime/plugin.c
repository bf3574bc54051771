/* SPDX-License-Identifier: MIT
 *
 * See plugin.h.
 *
 * A program run with other rights than its user's (set-user-ID, file capabilities) does not look in $DEMI_PLUGIN_PATH.
 */
#include "libos/runtime/plugin.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#ifndef DEMI_PLUGIN_DIR
#define DEMI_PLUGIN_DIR "/usr/local/lib"
#endif

static const struct {
    const char *name, *package;
} packages[] = {{"dpdk", "libdpdk-dev"}, {"xdp", "libxdp-dev"}, {"tls", "libssl-dev"}};

static int load_refuse(char *why, size_t why_size, int err, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static int load_refuse(char *why, size_t why_size, int err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, why_size, fmt, args);
    va_end(args);
    return -err;
}

/* What a packaged library is told with is the name of another package: packaging/debian/rules. */
#ifdef DEMI_PLUGIN_PACKAGE
#define HOW_TO_GET "apt-get install libdemikernel-%s" DEMI_PLUGIN_PACKAGE
#else
#define HOW_TO_GET "apt-get install %s, and make"
#endif

static const char *package_of(const char *name)
{
#ifndef DEMI_PLUGIN_PACKAGE
    for (unsigned i = 0; i < sizeof packages / sizeof *packages; i++)
        if (!strcmp(packages[i].name, name)) return packages[i].package;
    return "what it needs";
#else
    return name;
#endif
}

/* dlopen() of a file that is there; its failure is the answer then, and no further folder is looked in. handle NULL:
 * whether it is there. */
static bool try_path(const char *path, void **handle)
{
    if (access(path, F_OK)) return false;
    if (handle) *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    return true;
}

static bool try_dir(const char *dir, size_t n, const char *name, void **handle)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof path, "%.*s/libdemikernel-%s.so", (int)n, dir, name);
    return n && len > 0 && (size_t)len < sizeof path && try_path(path, handle);
}

static bool try_beside(const char *file, const char *name, void **handle)
{
    const char *slash = strrchr(file, '/');
    return slash && try_dir(file, (size_t)(slash - file), name, handle);
}

/* The executable's folder, PREFIX/lib of one in PREFIX/bin, and the two folders above: in a build, programs lie in
 * folders of it. */
static bool try_around(char *file, const char *name, void **handle)
{
    static const char *const places[] = {"", "/../lib", "/..", "/../.."};
    char *slash = strrchr(file, '/');
    if (!slash) return false;
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        int n = snprintf(slash, (size_t)(file + PATH_MAX - slash), "%s", places[i]);
        if (n >= 0 && slash + n < file + PATH_MAX && try_dir(file, (size_t)(slash + n - file), name, handle))
            return true;
        if (getauxval(AT_SECURE)) return false;
    }
    return false;
}

static bool try_environment(const char *name, void **handle)
{
    const char *at = getauxval(AT_SECURE) ? NULL : getenv("DEMI_PLUGIN_PATH");
    for (; at && *at; at += strspn(at, ":")) {
        size_t n = strcspn(at, ":");
        if (try_dir(at, n, name, handle)) return true;
        at += n;
    }
    return false;
}

static bool try_everywhere(const char *name, void **handle)
{
    char file[PATH_MAX];
    Dl_info info;
    if (try_environment(name, handle)) return true;
    ssize_t n = readlink("/proc/self/exe", file, sizeof file - 1);
    if (n > 0) {
        file[n] = 0;
        if (try_around(file, name, handle)) return true;
    }
    if (dladdr(&packages, &info) && info.dli_fname && try_beside(info.dli_fname, name, handle)) return true;
    if (try_dir(DEMI_PLUGIN_DIR, strlen(DEMI_PLUGIN_DIR), name, handle)) return true;
    snprintf(file, sizeof file, "libdemikernel-%s.so", name);
    void *found = dlopen(file, RTLD_NOW | RTLD_LOCAL); /* only the linker itself knows where it looks */
    if (handle) *handle = found;
    return found;
}

bool plugin_is_there(const char *name) { return try_everywhere(name, NULL); }

int plugin_find(const char *name, const char *symbol, void **entry, char *why, size_t why_size)
{
    void *handle = NULL;
    if (!try_everywhere(name, &handle))
        return load_refuse(why, why_size, ENOENT,
                           "%s: libdemikernel-%s.so is not there: " HOW_TO_GET
                           "; DEMI_PLUGIN_PATH names its folder if it lies "
                           "elsewhere",
                           name, name, package_of(name));
    if (!handle)
        return load_refuse(why, why_size, ENOEXEC, "%s: the plug-in cannot be loaded: %.180s", name, dlerror());
    *entry = dlsym(handle, symbol);
    if (*entry) return 0;
    dlclose(handle);
    return plugin_is_other(name, why, why_size);
}

int plugin_is_other(const char *name, char *why, size_t why_size)
{
    return load_refuse(why, why_size, ENOEXEC,
                       "%s: libdemikernel-%s.so is of another version than this library: make install both", name,
                       name);
}
