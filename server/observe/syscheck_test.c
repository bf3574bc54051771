/* SPDX-License-Identifier: MIT
 *
 * The system checks, over a folder that plays /proc and /sys.
 */
#include "server/observe/syscheck.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define CLOCK "/sys/devices/system/clocksource/clocksource0/current_clocksource"
#define PAGES "/sys/kernel/mm/transparent_hugepage/enabled"
#define MODE  "/proc/sys/vm/overcommit_memory"

static char root[64];
static char said[4096];
static bool fine;

static void put(const char *path, const char *text)
{
    char where[256];
    snprintf(where, sizeof where, "%s%s", root, path);
    for (char *p = where + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(where, 0700);
        *p = '/';
    }
    FILE *f = fopen(where, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void check(void)
{
    FILE *out = fmemopen(said, sizeof said, "w");
    fine = syscheck_run(out, root);
    fclose(out);
}

static int make_root(void **state)
{
    snprintf(root, sizeof root, "/tmp/demikv-syscheck-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int drop_root(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void test_what_the_system_does_not_tell_is_skipped(void **state)
{
    check();
    assert_non_null(strstr(said, "[xen-clocksource]...skipped\n[overcommit]...skipped\n[THP]...skipped\n"));
}

static void test_a_system_that_is_set_up_well_is_fine(void **state)
{
    put(CLOCK, "tsc\n");
    put(MODE, "1\n");
    put(PAGES, "always [madvise] never\n");
    check();
    assert_non_null(strstr(said, "[xen-clocksource]...OK\n[overcommit]...OK\n[THP]...OK\n"));
    assert_true(fine || strstr(said, "[slow-clocksource]...WARNING:")); /* that one is this machine's */
}

static void test_each_fault_is_named_with_its_mend(void **state)
{
    put(CLOCK, "xen\n");
    put(MODE, "0\n");
    put(PAGES, "[always] madvise never\n");
    check();
    assert_false(fine);
    assert_non_null(strstr(said, "[xen-clocksource]...WARNING:\n"));
    assert_non_null(strstr(said, "[overcommit]...WARNING:\n"));
    assert_non_null(strstr(said, "sysctl vm.overcommit_memory=1"));
    assert_non_null(strstr(said, "[THP]...WARNING:\n"));
    assert_non_null(strstr(said, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"));
}

static void test_a_clock_is_slow_when_the_system_takes_a_tenth(void **state)
{
    assert_false(syscheck_clock_is_slow(50000, 0));
    assert_false(syscheck_clock_is_slow(45000, 5000));
    assert_true(syscheck_clock_is_slow(44000, 6000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_the_system_does_not_tell_is_skipped, make_root, drop_root),
        cmocka_unit_test_setup_teardown(test_a_system_that_is_set_up_well_is_fine, make_root, drop_root),
        cmocka_unit_test_setup_teardown(test_each_fault_is_named_with_its_mend, make_root, drop_root),
        cmocka_unit_test(test_a_clock_is_slow_when_the_system_takes_a_tenth),
    };
    return cmocka_run_group_tests_name("syscheck", tests, NULL, NULL);
}
