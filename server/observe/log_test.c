/* SPDX-License-Identifier: MIT
 *
 * Lines of the log file: one message is one line, however long it is.
 */
#include "server/observe/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/server.h"

static void test_a_long_message_is_cut_and_still_a_line(void **state)
{
    (void)state;
    char path[] = "/tmp/demikv-log-XXXXXX", text[4000], line[4096];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    struct config cfg = {.logfile = path};
    struct server srv = {.config = &cfg};
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    server_log(&srv, LOG_WARNING_LEVEL, "%s", text);
    server_log(&srv, LOG_WARNING_LEVEL, "short");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    const char *last = strrchr(line, ' ');
    assert_non_null(last);
    assert_int_equal(strlen(last), 1 + (LOG_LINE_MAX - 1) + 1); /* a space, the text, the end of the line */
    assert_int_equal(line[strlen(line) - 1], '\n');
    assert_non_null(fgets(line, sizeof line, f));
    assert_non_null(strstr(line, " # short\n"));
    assert_null(fgets(line, sizeof line, f));
    fclose(f);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_long_message_is_cut_and_still_a_line)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
