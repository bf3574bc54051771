/* SPDX-License-Identifier: MIT
 *
 * Values that are of the right type and still wrong.
 */
#include <ctype.h>

#include "server/conf/cpu_list.h"
#include "server/conf/option.h"

static bool has_slash(const char *s) { return strchr(s, '/') || strchr(s, '\\'); }

bool conf_valid_dbfilename(const char *value, char *err)
{
    if (has_slash(value)) conf_error(err, "dbfilename can't be a path, just a filename");
    return !has_slash(value);
}

static bool name_is_valid(const char *option, const char *noun, const char *value, char *err)
{
    if (!*value) {
        conf_error(err, "%s can't be empty", option);
        return false;
    }
    if (has_slash(value)) {
        conf_error(err, "%s can't be a path, just a %s", option, noun);
        return false;
    }
    return true;
}

bool conf_valid_appendfilename(const char *value, char *err)
{
    return name_is_valid("appendfilename", "filename", value, err);
}

bool conf_valid_appenddirname(const char *value, char *err)
{
    return name_is_valid("appenddirname", "dirname", value, err);
}

bool conf_valid_aof_device(const char *value, char *err)
{
    bool ok = !*value || !strncmp(value, "log:", 4);
    if (!ok) conf_error(err, "aof-device must be a log queue, like log:/var/lib/demikv.log#aof");
    return ok;
}

bool conf_valid_hostname(const char *value, char *err)
{
    enum { HOSTNAME_SIZE = 256 };
    if (strlen(value) >= HOSTNAME_SIZE) {
        conf_error(err, "Hostnames must be less than %d characters", HOSTNAME_SIZE);
        return false;
    }
    for (const char *p = value; *p; p++) {
        if (isalnum((unsigned char)*p) || *p == '-' || *p == '.') continue;
        conf_error(err, "Hostnames may only contain alphanumeric characters, hyphens or dots");
        return false;
    }
    return true;
}

bool conf_valid_nodename(const char *value, char *err)
{
    bool ok = !strpbrk(value, "!#$%&()*+:;<>?@[]^{|}~");
    if (!ok) conf_error(err, "Announced human node name contained invalid character");
    return ok;
}

bool conf_valid_cpu_list(const char *value, char *err)
{
    cpu_set_t set;
    bool ok = !*value || cpu_list_parse(value, &set);
    if (!ok) conf_error(err, "must be a list of CPUs below %d, like 0-7:2 or 1,3", CPU_SETSIZE);
    return ok;
}

/* Text with variables in braces: each must be known, and something must be left to show. */
bool conf_valid_proc_title(const char *value, char *err)
{
    static const char *const known[] = {"title",    "listen-addr", "server-mode", "port",
                                        "tls-port", "unixsocket",  "config-file"};
    bool ok = false;
    for (const char *p = value; *p; p++) {
        if (!isspace((unsigned char)*p)) ok = true;
        if (*p != '{') continue;
        if (p[1] == '{') { /* "{{" is a brace */
            p++;
            continue;
        }
        const char *end = strchr(p, '}');
        bool found = false;
        for (size_t i = 0; end && i < sizeof known / sizeof *known; i++)
            found = found || bytes_equal(bytes_of(p + 1, (size_t)(end - p - 1)), bytes_of_str(known[i]));
        if (!found) {
            ok = false;
            break;
        }
        p = end;
    }
    if (!ok) conf_error(err, "template format is invalid or contains unknown variables");
    return ok;
}

bool conf_valid_shutdown(int value, char *err)
{
    bool both = (value & SHUTDOWN_ON_SIG_SAVE) && (value & SHUTDOWN_ON_SIG_NOSAVE);
    if (both) conf_error(err, "shutdown options SAVE and NOSAVE can't be used simultaneously");
    return !both;
}
