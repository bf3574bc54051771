/* SPDX-License-Identifier: MIT
 *
 * Nodes, and what the heap does under a filter of system calls that kills. Each filter is set in a child process of its
 * own, since it never goes away again.
 */
#include "alloc/node.h"

#include <dirent.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "alloc/base/sandbox.h"
#include "alloc/heap.h"
#include "alloc/region.h"

#define PAGE 4096

/* Kills whoever makes one of the calls that systemd names @resources. False: the system knows no filters. */
static bool forbid_resources(void)
{
    static const int calls[] = {
        SYS_mbind,         SYS_set_mempolicy,      SYS_move_pages,  SYS_migrate_pages,     SYS_sched_setparam,
        SYS_sched_setattr, SYS_sched_setscheduler, SYS_setpriority, SYS_sched_setaffinity, SYS_ioprio_set,
        SYS_setrlimit};
    enum { COUNT = sizeof calls / sizeof calls[0] };
    struct sock_filter code[2 * COUNT + 2];
    size_t n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < COUNT; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = (unsigned short)n, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* In a child. What it says: 0 well, 77 no filters here, otherwise the line of what was wrong. */
static void in_a_child(int (*body)(void))
{
    pid_t child = fork();
    if (!child) _exit(body());
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip();
    assert_false(WIFSIGNALED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define EXPECT(what)                                                                                                   \
    do {                                                                                                               \
        if (!(what)) return 1;                                                                                         \
    } while (0)

static void test_a_list_of_nodes_is_counted_to_its_highest(void **state)
{
    assert_int_equal(node_list_count("0\n"), 1);
    assert_int_equal(node_list_count("0-1\n"), 2);
    assert_int_equal(node_list_count("0-1,4"), 5);
    assert_int_equal(node_list_count("8,0-3\n"), 9);
    assert_int_equal(node_list_count("1023"), 1024);
}

static void test_what_is_no_list_of_nodes_counts_none(void **state)
{
    const char *bad[] = {"", "\n", "x", "0-", "-1", "3-1", "0,", "0 1", "1024", "99999999999999999999", "0-1-2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_int_equal(node_list_count(bad[i]), 0);
}

static void test_this_thread_is_on_a_node_of_the_machine(void **state)
{
    assert_true(node_count() >= 1);
    assert_in_range(node_here(), 0, node_count() - 1);
}

static void test_memory_is_told_its_node(void **state)
{
    char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    int err = node_prefer(p, 4 * PAGE, node_here());
    if (err == -ENOSYS || err == -EPERM) skip(); /* a kernel without nodes, or these tests run in a box */
    assert_int_equal(err, 0);
    int mode = -1;
    unsigned long mask[NODE_MAX / 64] = {0};
    assert_int_equal(syscall(SYS_get_mempolicy, &mode, mask, (unsigned long)NODE_MAX, p, 2 /* MPOL_F_ADDR */), 0);
    assert_int_equal(mode, 1 /* MPOL_PREFERRED */);
    assert_int_equal(mask[node_here() / 64] >> (node_here() % 64) & 1, 1);
    munmap(p, 4 * PAGE);
}

static int prefer_under_a_filter(void)
{
    char *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!forbid_resources()) return 77;
    EXPECT(sandbox_filters_calls());
    EXPECT(node_prefer(p, PAGE, 0) == -EPERM);
    return 0;
}

static void test_under_a_filter_no_node_is_asked_for(void **state) { in_a_child(prefer_under_a_filter); }

/* All threads of this process but the first. -1: there is none, or they differ. */
static int policy_of_helpers(void)
{
    DIR *d = opendir("/proc/self/task");
    int policy = -1;
    for (struct dirent *e; d && (e = readdir(d));) {
        int tid = atoi(e->d_name);
        if (tid > 0 && tid != getpid()) policy = sched_getscheduler(tid);
    }
    if (d) closedir(d);
    return policy;
}

/* Enough for the helper to have been started and to have brought chunks. */
static int grow(void)
{
    heap_set_prefault(true);
    for (int i = 0; i < 64; i++) {
        void *p = heap_alloc(REGION_CHUNK / 2);
        EXPECT(p);
        memset(p, 1, REGION_CHUNK / 2);
        heap_collect();
    }
    return 0;
}

static int wait_for_policy(int wanted)
{
    for (int i = 0; i < 2000 && policy_of_helpers() != wanted; i++) usleep(1000);
    return policy_of_helpers() == wanted ? 0 : 1;
}

static int grow_at_another_priority(void)
{
    EXPECT(sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}) == 0);
    if (sandbox_filters_calls()) return 77;
    EXPECT(grow() == 0);
    return wait_for_policy(SCHED_OTHER);
}

static void test_the_helper_steps_back_from_its_owners_priority(void **state) { in_a_child(grow_at_another_priority); }

static int grow_under_a_filter(void)
{
    EXPECT(sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}) == 0);
    if (!forbid_resources()) return 77;
    EXPECT(grow() == 0);
    return wait_for_policy(SCHED_BATCH);
}

static void test_under_a_filter_the_helper_keeps_its_priority(void **state) { in_a_child(grow_under_a_filter); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_list_of_nodes_is_counted_to_its_highest),
        cmocka_unit_test(test_what_is_no_list_of_nodes_counts_none),
        cmocka_unit_test(test_this_thread_is_on_a_node_of_the_machine),
        cmocka_unit_test(test_memory_is_told_its_node),
        cmocka_unit_test(test_under_a_filter_no_node_is_asked_for),
        cmocka_unit_test(test_the_helper_steps_back_from_its_owners_priority),
        cmocka_unit_test(test_under_a_filter_the_helper_keeps_its_priority),
    };
    return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
