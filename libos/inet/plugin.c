/* SPDX-License-Identifier: MIT
 *
 * See plugin.h; and the libOSes whose devices are plug-ins.
 *
 * A program run with other rights than its user's (set-user-ID, file capabilities) does not look in $DEMI_PLUGIN_PATH.
 */
#include "libos/inet/plugin.h"

#include "libos/inet/inet.h"
#include "libos/inet/keys.h"
#include "libos/inet/owner.h"
#include "libos/runtime/runtime.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#ifndef DEMI_PLUGIN_DIR
#define DEMI_PLUGIN_DIR "/usr/local/lib"
#endif

const struct netdev_host plugin_host = {
    .buf_take = buf_take,
    .buf_unref = buf_unref,
    .buf_place = buf_place,
    .registry_add_device = registry_add_device,
    .registry_remove_device = registry_remove_device,
    .region_cookie = region_cookie,
    .region_find = region_find,
    .owner_take = owner_take,
    .owner_give = owner_give,
};

static const struct {
    const char *name, *package;
} packages[] = {{"dpdk", "libdpdk-dev"}, {"xdp", "libxdp-dev"}};

static int load_refuse(char *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int load_refuse(char *why, int err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, KEYS_WHY_SIZE, fmt, args);
    va_end(args);
    return -err;
}

static const char *package_of(const char *name)
{
    for (unsigned i = 0; i < sizeof packages / sizeof *packages; i++)
        if (!strcmp(packages[i].name, name)) return packages[i].package;
    return NULL;
}

/* dlopen() of a file that is there; its failure is the answer then, and no further folder is looked in. */
static bool try_path(const char *path, void **handle)
{
    if (access(path, F_OK)) return false;
    *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
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
    if (dladdr(&plugin_host, &info) && info.dli_fname && try_beside(info.dli_fname, name, handle)) return true;
    if (try_dir(DEMI_PLUGIN_DIR, strlen(DEMI_PLUGIN_DIR), name, handle)) return true;
    snprintf(file, sizeof file, "libdemikernel-%s.so", name);
    *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    return *handle;
}

int plugin_load(const char *name, netdev_open_fn *open, char *why)
{
    void *handle = NULL;
    if (!try_everywhere(name, &handle))
        return load_refuse(
            why, ENOENT,
            "%s: libdemikernel-%s.so is not there: apt-get install %s, and make; DEMI_PLUGIN_PATH names its "
            "folder if it lies elsewhere",
            name, name, package_of(name) ? package_of(name) : "what it needs");
    if (!handle) return load_refuse(why, ENOEXEC, "%s: the plug-in cannot be loaded: %.180s", name, dlerror());
    netdev_plugin_fn entry;
    *(void **)&entry = dlsym(handle, NETDEV_PLUGIN_SYMBOL);
    const struct netdev_plugin *p = entry ? entry(&plugin_host) : NULL;
    if (p && p->abi == NETDEV_ABI) {
        *open = p->open;
        return 0;
    }
    dlclose(handle);
    return load_refuse(
        why, ENOEXEC, "%s: libdemikernel-%s.so is of another version than this library: make install both", name, name);
}

/* --- the libOSes -------------------------------------------------------------------------------------------------- */

static int plugin_start(const char *name, struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    netdev_open_fn open = NULL;
    int err = plugin_load(name, &open, rt->why);
    return err ? err : inet_start(rt, conf, name, open, out);
}

static int dpdk_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    return plugin_start("dpdk", rt, conf, out);
}
static int xdp_start(struct runtime *rt, const struct demi_config *conf, struct libos **out)
{
    return plugin_start("xdp", rt, conf, out);
}

const struct libos_ops dpdk_libos = {.name = "dpdk", .start = dpdk_start, INET_LIBOS_OPS};
const struct libos_ops xdp_libos = {.name = "xdp", .start = xdp_start, INET_LIBOS_OPS};
