/* SPDX-License-Identifier: MIT
 *
 * Start and end of a thread's library OS, its options and counters.
 *
 * Without LIBOS and without CONFIG_PATH a program gets kernel sockets: nothing has to be set up. A
 * configuration that is named must be there and be well-formed. The libos named may also stand in
 * the file ("libos: posix").
 */
#include "demi/here.h"
#include "demi/life.h"
#include "demi/which.h"

#include "alloc/base/log.h"
#include "libos/runtime/config.h"
#include "libos/runtime/names.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CHOSEN_MAX      4u /* as runtime.h has room for; its message says so */
#define LIBOS_NAME_SIZE 41

/* A program may end without demi_exit() right after its last push: what it pushed leaves as by demi_exit(). In a child
 * it forked the sockets are the parent's, and so is what waits on them. A task that ends the process stands on a stack
 * that runtime_free() would give back. */
static _Thread_local pid_t process;

static void end_at_exit(void)
{
    struct runtime *rt = runtime_current();
    if (!rt || getpid() != process) return;
    if (rt->tasks.running) runtime_end(rt);
    else life_end(rt);
}

static void register_end(void) { atexit(end_at_exit); }

/* Where whoever starts us wants to hear why not. */
static void report_failure(const struct demi_init_options *o, const char *why)
{
    if (o->why && o->why_size) snprintf(o->why, o->why_size, "%s", why);
    else if (*why) fprintf(stderr, "demikernel: %s\n", why);
}

/* What the program itself has set and the libOS never looked for: better said than silently without effect. */
static int refuse_unasked(const struct libos_ops *libos, const struct demi_config *conf,
                          const struct demi_init_options *o)
{
    enum {
        KNOWN_SIZE = 1024,
        NAME_CHARS = 32, /* of a libOS */
        KEY_CHARS = 60,
        WHY_SIZE = sizeof "libOS  has no setting \"\"; it has: " - 1 + NAME_CHARS + KEY_CHARS + KNOWN_SIZE,
    };
    char known[KNOWN_SIZE], why[WHY_SIZE];
    const char *key = config_unasked(conf, known, sizeof known);
    if (!key) return 0;
    snprintf(why, sizeof why, "libOS %.32s has no setting \"%.60s\"; it has: %s", libos->name, key, known);
    report_failure(o, why);
    return -EINVAL;
}

/* Those that are asked for: the first one is asked first for sockets. */
struct chosen {
    const struct libos_ops *libos[CHOSEN_MAX];
    unsigned count;
};

static int libos_start(const struct chosen *c, const struct demi_config *conf, const struct demi_init_options *o)
{
    struct runtime *rt;
    int err = runtime_new(&rt, NULL, (uint32_t)syscall(SYS_gettid));
    if (err) return -err;
    for (unsigned i = 0; !err && i < c->count; i++) err = runtime_add_libos(rt, c->libos[i], conf);
    if (err) report_failure(o, rt->why);
    const char *spin = config_get(conf, "spin_us");
    if (!err && spin) err = runtime_set_option(rt, "spin-us", spin);
    const char *files = config_get(conf, "files");
    if (!err && files) err = runtime_set_option(rt, "files", files);
    if (!err) err = refuse_unasked(c->libos[0], conf, o);
    if (!err) err = life_begin(rt);
    if (err) runtime_free(rt);
    if (err) return -err;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_end);
    process = getpid();
    return 0;
}

/* A name of the table without a libOS of sockets behind it: files, the simulator. */
static void tell_missing(const struct demi_init_options *o, const char *name)
{
    char why[256];
    int n = snprintf(why, sizeof why, "%.40s: %s; there are:", name,
                     libos_canonical_name(name) ? "is there without being asked for" : "no libOS of this name");
    for (unsigned i = 0; libos_at(i) && n > 0 && n < (int)sizeof why; i++)
        n += snprintf(why + n, sizeof why - (size_t)n, " %s", libos_at(i)->name);
    report_failure(o, why);
}

/* "dpdk,shm": one or more, each once. */
static int choose(const struct demi_init_options *o, const char *names, struct chosen *c)
{
    c->count = 0;
    for (const char *at = names;; at++) {
        char name[LIBOS_NAME_SIZE];
        size_t n = strcspn(at, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name), at);
        const struct libos_ops *libos = n < sizeof name ? libos_find(name) : NULL;
        if (!libos) {
            tell_missing(o, name);
            return ENOTSUP;
        }
        if (c->count == CHOSEN_MAX) {
            report_failure(o, "at most 4 libOSes at once");
            return E2BIG;
        }
        for (unsigned i = 0; i < c->count; i++) {
            if (c->libos[i] != libos) continue;
            report_failure(o, "a libOS is named twice");
            return EINVAL;
        }
        c->libos[c->count++] = libos;
        at += n;
        if (!*at) return 0;
    }
}

static int read_config(const struct demi_init_options *o, struct demi_config **out)
{
    const char *path = o->config_path ? o->config_path : getenv("CONFIG_PATH");
    unsigned line = 0;
    *out = NULL;
    int err = path && *path ? config_read(path, out, &line) : 0;
    if (err == -EINVAL && line) {
        char why[256];
        snprintf(why, sizeof why, "%.180s, line %u: not understood", path, line);
        report_failure(o, why);
    }
    for (size_t i = 0; !err && i < o->setting_count; i++) {
        const struct demi_setting *s = &o->settings[i];
        err = s->key && s->value ? config_set(out, s->key, s->value) : -EINVAL;
    }
    return err;
}

int demi_init_options(const struct demi_init_options *o)
{
    if (!o || (o->setting_count && !o->settings)) return EINVAL;
    if (runtime_current()) return EEXIST;
    KEEP_ERRNO();
    struct demi_config *conf;
    if (o->why && o->why_size) *o->why = 0;
    int err = -read_config(o, &conf);
    const char *name = o->libos ? o->libos : getenv("LIBOS");
    if (!name || !*name) name = config_get(conf, "libos");
    struct chosen chosen = {0};
    if (!err) err = choose(o, name && *name ? name : "posix", &chosen);
    if (!err) err = libos_start(&chosen, conf, o);
    config_free(conf);
    return err;
}

int demi_init_with(const char *name, const char *config_path)
{
    return demi_init_options(&(struct demi_init_options){.libos = name, .config_path = config_path});
}

int demi_init(const struct demi_args *args) { return demi_init_with(NULL, NULL); }
int demi_init_argv(int argc, char *const argv[]) { return demi_init_with(NULL, NULL); }

int demi_exit(void)
{
    HERE(rt);
    if (rt->tasks.running) return EBUSY;
    life_end(rt);
    return 0;
}

int demi_set_log(demi_log_fn fn, void *arg)
{
    log_set_default(fn ? &(struct log){.level = LOG_NOTICE_LEVEL, .sink = fn, .arg = arg} : NULL);
    return 0;
}

int demi_set_option(const char *name, const char *value)
{
    if (!name || !value) return EINVAL;
    HERE(rt);
    return -runtime_set_option(rt, name, value);
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
