/* SPDX-License-Identifier: MIT
 *
 * Nothing here allocates, except what INFO does beyond the room that was kept for it. Left out of redis-server's
 * report: the dump of the code around the instruction. The trace names functions and their offsets in the program's
 * file instead, with which addr2line and gdb find the line.
 */
#include "server/observe/crash_parts.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <stdbool.h>
#include <string.h>
#include <ucontext.h>

#include "server/conf/conf.h"
#include "server/db/db.h"
#include "server/observe/info.h"
#include "server/observe/memcheck.h"
#include "server/observe/redact.h"
#include "server/observe/symbols.h"
#include "server/server.h"
#include "server/worker.h"

#define FRAMES_MAX 100
#define ARGS_SHOWN 64
#define ARG_BYTES  128 /* as redis-server shows of each */
#define KEYS_SHOWN 8

/* --- the processor ------------------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
uintptr_t crash_instruction(const struct crash_parts *p)
{
    return p->context ? (uintptr_t)((ucontext_t *)p->context)->uc_mcontext.gregs[REG_RIP] : 0;
}

static uintptr_t stack_pointer(const ucontext_t *u) { return (uintptr_t)u->uc_mcontext.gregs[REG_RSP]; }

static void print_registers(struct report *out, const ucontext_t *u)
{
    static const struct {
        const char *name;
        int index;
    } registers[] = {{"RAX", REG_RAX}, {"RBX", REG_RBX}, {"RCX", REG_RCX}, {"RDX", REG_RDX},      {"RDI", REG_RDI},
                     {"RSI", REG_RSI}, {"RBP", REG_RBP}, {"RSP", REG_RSP}, {"R8 ", REG_R8},       {"R9 ", REG_R9},
                     {"R10", REG_R10}, {"R11", REG_R11}, {"R12", REG_R12}, {"R13", REG_R13},      {"R14", REG_R14},
                     {"R15", REG_R15}, {"RIP", REG_RIP}, {"EFL", REG_EFL}, {"CSGSFS", REG_CSGSFS}};
    for (size_t i = 0; i < sizeof registers / sizeof *registers; i++)
        report_text(out, "%s:%016lx%s", registers[i].name, (unsigned long)u->uc_mcontext.gregs[registers[i].index],
                    i % 4 == 3 ? "\n" : " ");
    report_text(out, "\n");
}
#elif defined(__aarch64__)
uintptr_t crash_instruction(const struct crash_parts *p)
{
    return p->context ? (uintptr_t)((ucontext_t *)p->context)->uc_mcontext.pc : 0;
}

static uintptr_t stack_pointer(const ucontext_t *u) { return (uintptr_t)u->uc_mcontext.sp; }

static void print_registers(struct report *out, const ucontext_t *u)
{
    for (int i = 0; i < 31; i++)
        report_text(out, "X%02d:%016llx%s", i, (unsigned long long)u->uc_mcontext.regs[i], i % 4 == 3 ? "\n" : " ");
    report_text(out, "\nSP:%016llx PC:%016llx PSTATE:%016llx FAULT:%016llx\n", (unsigned long long)u->uc_mcontext.sp,
                (unsigned long long)u->uc_mcontext.pc, (unsigned long long)u->uc_mcontext.pstate,
                (unsigned long long)u->uc_mcontext.fault_address);
}
#else
uintptr_t crash_instruction(const struct crash_parts *p) { return 0; }
static uintptr_t stack_pointer(const ucontext_t *u) { return 0; }
static void print_registers(struct report *out, const ucontext_t *u)
{
    report_text(out, "Dumping of registers is not supported for this processor\n");
}
#endif

void crash_registers(struct crash_parts *p)
{
    const ucontext_t *u = p->context;
    if (!u) return;
    report_text(p->out, "\n------ REGISTERS ------\n");
    print_registers(p->out, u);
    const uintptr_t *words = (const uintptr_t *)stack_pointer(u);
    for (int i = 15; words && i >= 0; i--)
        report_text(p->out, "(%016lx) -> %016lx\n", (unsigned long)(uintptr_t)&words[i], (unsigned long)words[i]);
}

/* --- the stack ---------------------------------------------------------------------------------------------------- */

/* back: 1 for where a call returns to, which is beyond its function when that call is its last and does not return. */
static void print_address(struct report *out, const struct symbols *s, uintptr_t addr, unsigned back)
{
    size_t offset = 0;
    Dl_info in;
    const char *name = symbols_find(s, addr - back, &offset);
    if (name) {
        offset += back;
        report_text(out, "%s+0x%zx (file 0x%lx)[0x%lx]\n", name, offset, (unsigned long)symbols_in_file(s, addr),
                    (unsigned long)addr);
    } else if (dladdr((void *)(addr - back), &in) && in.dli_fname) {
        report_text(out, "%s(%s+0x%lx)[0x%lx]\n", in.dli_fname, in.dli_sname ? in.dli_sname : "",
                    (unsigned long)(addr - (uintptr_t)(in.dli_sname ? in.dli_saddr : in.dli_fbase)),
                    (unsigned long)addr);
    } else {
        report_text(out, "[0x%lx]\n", (unsigned long)addr);
    }
}

/* The frames from the instruction on; returns where they begin in `out`, and their number in *count. After a call to
 * where no code is (a NULL function) whoever called it is on top of the stack, and the walk begins there. */
static int walk(const struct crash_parts *p, void **out, int *count)
{
    uintptr_t at = crash_instruction(p);
#if defined(__x86_64__)
    ucontext_t *u = p->context, kept;
    Dl_info in;
    bool nowhere = u && !dladdr((void *)at, &in);
    if (nowhere) {
        kept = *u;
        at = *(const uintptr_t *)stack_pointer(u);
        u->uc_mcontext.gregs[REG_RIP] = (greg_t)at;
        u->uc_mcontext.gregs[REG_RSP] += 8;
    }
    *count = backtrace(out, FRAMES_MAX);
    if (nowhere) *u = kept;
#else
    *count = backtrace(out, FRAMES_MAX);
#endif
    for (int i = 0; at && i < *count; i++) /* those of this report are left out */
        if ((uintptr_t)out[i] == at) return i;
    return 0;
}

void crash_stack(struct crash_parts *p)
{
    void *frames[FRAMES_MAX];
    struct symbols s;
    symbols_open(&s);
    report_text(p->out, "\n------ STACK TRACE ------\n");
    if (p->context) {
        report_text(p->out, "EIP:\n");
        print_address(p->out, &s, crash_instruction(p), 0);
    }
    report_text(p->out, "\nBacktrace:\n");
    report_flush(p->out);
    int n, from = walk(p, frames, &n);
    for (int i = from; i < n; i++) print_address(p->out, &s, (uintptr_t)frames[i], i > from || !p->context);
    symbols_close(&s);
}

/* --- what it was doing -------------------------------------------------------------------------------------------- */

static void print_client(struct report *out, const struct client *cl)
{
    static const struct output_held unknown; /* what the heap knows is not asked of it after a crash */
    char line[1024];
    client_describe(cl, &unknown, line, sizeof line);
    report_text(out, "%s\n", line);
}

static void print_keys(struct report *out, const struct call *c)
{
    for (int i = 0; i < c->key_count && i < KEYS_SHOWN; i++) {
        const struct key_ref *key = &c->keys[i];
        const struct entry *e = table_find(&db_slice(c->db, key)->table, key->hash, key->name);
        if (!e) continue;
        report_text(out, "key '");
        report_quoted(out, key->name.p, key->name.n, ARG_BYTES);
        report_text(out, "' found in DB containing the following object:\n");
        report_text(out, "Object type: %u (%s)\n", (unsigned)e->type, obj_type_name(e->type));
        report_text(out, "Object encoding: %u (%s)\n", (unsigned)e->enc, entry_encoding_name(e));
    }
}

void crash_command(struct crash_parts *p)
{
    const struct call *c = &p->srv->workers[0].call;
    if (!c->cmd) return; /* between commands */
    report_text(p->out, "\n------ CURRENT CLIENT INFO ------\n");
    if (c->client) print_client(p->out, c->client);
    else report_text(p->out, "no client: a command of the server's own\n");
    report_text(p->out, "command: %s\nargc: '%d'\n", c->cmd->full_name, c->argc);
    bool secret = redact_needed(c->cmd);
    for (int i = 0; i < c->argc && i < ARGS_SHOWN; i++) {
        report_text(p->out, "argv[%d]: '", i);
        if (secret && i > 0) report_text(p->out, "(redacted)");
        else report_quoted(p->out, c->argv[i].p, c->argv[i].n, ARG_BYTES);
        report_text(p->out, "'\n");
    }
    if (c->argc > ARGS_SHOWN) report_text(p->out, "... and %d more\n", c->argc - ARGS_SHOWN);
    print_keys(p->out, c);
}

/* --- the server --------------------------------------------------------------------------------------------------- */

void crash_info_collect(struct crash_parts *p)
{
    struct bytes all = BYTES("all");
    info_write(&p->srv->workers[0], &p->info, &all, 1);
}

/* What was collected, be it all or not. */
void crash_info(struct crash_parts *p)
{
    report_text(p->out, "\n------ INFO OUTPUT ------\n");
    for (const struct reply_chunk *c = p->info.head; c; c = c->next)
        report_bytes(p->out, c->data, c == p->info.tail ? (size_t)(p->info.at - c->data) : c->used);
}

void crash_clients(struct crash_parts *p)
{
    const struct worker *w = &p->srv->workers[0];
    size_t left = w->client_count; /* or a broken list would have no end */
    report_text(p->out, "\n------ CLIENT LIST OUTPUT ------\n");
    list_for_each(it, &w->clients)
    {
        if (left-- == 0) break;
        print_client(p->out, list_entry(it, struct client, all));
    }
}

static void print_option(void *arg, struct bytes name, struct bytes value)
{
    struct report *out = arg;
    report_text(out, "%.*s ", (int)name.n, name.p);
    report_quoted(out, value.p, value.n, ARG_BYTES);
    report_text(out, "\n");
}

void crash_config(struct crash_parts *p)
{
    struct bytes shown[] = {BYTES("libos*"), BYTES("maxmemory*"), BYTES("*-max-*"), BYTES("hz"), BYTES("databases")};
    report_text(p->out, "\n------ CONFIG DEBUG OUTPUT ------\n");
    conf_get(p->srv->config, shown, sizeof shown / sizeof *shown, print_option, p->out);
}

void crash_memory(struct crash_parts *p)
{
    struct memcheck m;
    report_text(p->out, "\n------ FAST MEMORY TEST ------\n");
    if (strcmp(demi_libos_name(), "posix") != 0) {
        report_text(p->out, "Left out: a device may write into memory of the libOS '%s'.\n", demi_libos_name());
        return;
    }
    report_flush(p->out);
    memcheck_run(&m, p->memcheck_until);
    report_text(p->out, "%zu pages tested%s\n", m.pages,
                m.in_time ? ""
                : m.pages ? ", then the time was up"
                          : ": this system does not say which there are");
    if (m.wrong)
        report_text(p->out,
                    "!!! MEMORY ERROR DETECTED! Check your memory ASAP !!! %zu words do not hold what is written, the "
                    "first at 0x%lx\n",
                    m.wrong, (unsigned long)m.first);
    else
        report_text(p->out,
                    "Fast memory test PASSED, however your memory can still be broken. Please run a memory test "
                    "for several hours if possible.\n");
}
