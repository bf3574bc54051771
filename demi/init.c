/* SPDX-License-Identifier: MIT
 *
 * Start and end of a thread's library OS, its options and counters.
 *
 * Without LIBOS and without CONFIG_PATH a program gets kernel sockets: nothing has to be set up. A
 * configuration that is named must be there and be well-formed. The libos named may also stand in
 * the file ("libos: posix").
 */
#include "demi/here.h"

#include "libos/posix/posix.h"
#include "libos/runtime/config.h"
#include "libos/runtime/names.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct libos_ops *const builtin[] = {&posix_libos};

static const struct libos_ops *find_libos(const char *name)
{
    name = libos_canonical_name(name);
    for (unsigned i = 0; name && i < sizeof builtin / sizeof builtin[0]; i++)
        if (!strcmp(builtin[i]->name, name)) return builtin[i];
    return NULL;
}

/* A program may end without demi_exit() right after its last push. What it pushed is then tried
 * once. In a child it forked the sockets are the parent's, and so is what waits on them. */
static pid_t process;

static void flush_at_exit(void)
{
    struct runtime *rt = runtime_current();
    if (rt && runtime_flush_is_due(rt) && getpid() == process) runtime_flush(rt);
}

static void register_flush(void)
{
    process = getpid();
    atexit(flush_at_exit);
}

static int start(const struct libos_ops *libos, const struct config *conf)
{
    struct runtime *rt;
    int err = runtime_new(&rt, NULL, (uint32_t)syscall(SYS_gettid));
    if (err) return -err;
    err = runtime_add_libos(rt, libos, conf);
    const char *spin = config_get(conf, "spin_us");
    if (!err && spin) err = runtime_set_option(rt, "spin-us", spin);
    if (err) runtime_free(rt);
    if (err) return -err;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_flush);
    runtime_enter(rt);
    return 0;
}

int demi_init_with(const char *name, const char *config_path)
{
    if (runtime_current()) return EEXIST;
    KEEP_ERRNO();
    if (!config_path) config_path = getenv("CONFIG_PATH");
    struct config *conf = NULL;
    int err = config_path && *config_path ? config_read(config_path, &conf, NULL) : 0;
    if (err) return -err;
    if (!name) name = getenv("LIBOS");
    if (!name || !*name) name = config_get(conf, "libos");
    const struct libos_ops *libos = find_libos(name && *name ? name : "posix");
    err = libos ? start(libos, conf) : ENOTSUP;
    config_free(conf);
    return err;
}

int demi_init(const struct demi_args *args)
{
    return demi_init_with(NULL, NULL);
}
int demi_init_argv(int argc, char *const argv[])
{
    return demi_init_with(NULL, NULL);
}

int demi_exit(void)
{
    HERE(rt);
    if (rt->tasks.running) return EBUSY;
    runtime_free(rt);
    return 0;
}

int demi_set_option(const char *name, const char *value)
{
    if (!name || !value) return EINVAL;
    HERE(rt);
    return -runtime_set_option(rt, name, value);
}

#define STRING_(x) #x
#define STRING(x)  STRING_(x)

const char *demi_version(void)
{
    return STRING(DEMI_VERSION_MAJOR) "." STRING(DEMI_VERSION_MINOR) "." STRING(DEMI_VERSION_PATCH);
}

const char *demi_libos_name(void)
{
    struct runtime *rt = runtime_current();
    return rt && rt->libos_count ? rt->libos[0]->ops->name : NULL;
}

void demi_counters(demi_counter_fn fn, void *arg)
{
    struct runtime *rt = runtime_current();
    if (rt && fn) counters_visit(&rt->counters, fn, arg);
}
