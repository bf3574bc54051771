/* SPDX-License-Identifier: MIT
 *
 * The kernel tells a thread's filters in its status file (proc(5): "Seccomp: 2" is a filter). prctl(PR_GET_SECCOMP)
 * would be shorter, but is itself a call that a filter may kill for; to open and read a file is what every program
 * has to be allowed. What a filter does with which call cannot be asked.
 */
#include "alloc/base/sandbox.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define STATUS_BYTES 4096 /* it is about 1,500 */

bool sandbox_filters_calls(void)
{
    int fd = open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return true; /* no /proc: somebody has put us into a box */
    char text[STATUS_BYTES];
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return true;
    text[n] = 0;
    return !strstr(text,
                   "\nSeccomp:\t0\n"); /* a kernel without the line was built without filters: rare, and no loss */
}
