#include "bench/settings.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/human.h"
#include "bench/load.h"
#include "bench/units.h"

enum kind { FLAG, TEXT, COUNT, SIZE, DURATION };

struct flag {
    const char *name;
    enum kind kind;
    uint32_t group; /* 0: every command has it */
    size_t offset;
    uint64_t max; /* of a number */
    const char *value;
    const char *help;
};

#define AT(field) offsetof(struct settings, field)

#define DAY_MS (UINT64_C(86400000))

static const struct flag flags[] = {
    {"system", TEXT, SETTINGS_SYSTEM, AT(system), 0, "NAME", "what is loaded (hato-bench systems lists them)"},
    {"server", TEXT, SETTINGS_SERVER, AT(server), 0, "HOST:PORT", "where it listens; default: its usual port here"},
    {"spawn", TEXT, SETTINGS_SERVER, AT(spawn), 0, "PROGRAM",
     "start this hatod or hato-limit for the run, on fresh files"},
    {"dir", TEXT, SETTINGS_SERVER, AT(dir), 0, "DIR", "where those files go; removed after the run"},
    {"queue", TEXT, SETTINGS_QUEUE, AT(queue), 0, "NAME", "queue, stream, tube or topic"},
    {"existing", FLAG, SETTINGS_QUEUE, AT(existing), 0, NULL, "the queue exists: do not make it"},
    {"messages", COUNT, SETTINGS_COUNT, AT(messages), 1000000000000, "N",
     "how many; 0: as many as fit into the duration"},
    {"duration", DURATION, SETTINGS_TIME, AT(duration_ms), DAY_MS, "TIME", "how long"},
    {"warmup", DURATION, SETTINGS_TIME, AT(warmup_ms), DAY_MS, "TIME", "not measured, before the duration"},
    {"window", COUNT, SETTINGS_WINDOW, AT(window), LOAD_WINDOW_MAX, "N", "messages in flight at most"},
    {"size", SIZE, SETTINGS_WINDOW, AT(size), LOAD_BODY_MAX, "SIZE", "of a body"},
    {"rate", COUNT, SETTINGS_RATE, AT(rate), 100000000, "N",
     "messages a second, sent at their times whatever the server does; 0: as fast as the window allows"},
    {"batch", COUNT, SETTINGS_BATCH, AT(batch), 1000, "N", "messages received, acked or pushed together"},
    {"fill", COUNT, SETTINGS_FILL, AT(fill), 1000000000000, "N", "send this many first; 0: they are there"},
    {"sample", COUNT, SETTINGS_BACKLOG, AT(sample), 100000000, "N",
     "messages received from the short and the long queue"},
    {"queues", COUNT, SETTINGS_QUEUES, AT(queues), 10000000, "N", "how many"},
    {"idle", COUNT, SETTINGS_PUSH, AT(idle), 100000, "N", "functions bound to queues where nothing comes"},
    {"concurrency", COUNT, SETTINGS_PUSH, AT(concurrency), 10000, "N", "requests out at once at most"},
    {"port", COUNT, SETTINGS_PORT, AT(port), 65535, "N", "to listen on, on 127.0.0.1; 0: a free one"},
    {"no-fsync", FLAG, SETTINGS_NO_FSYNC, AT(no_fsync), 0, NULL,
     "the spawned hato-limit leaves the data to the kernel"},
    {"json", FLAG, 0, AT(json), 0, NULL, "one line of JSON"},
    {"quiet", FLAG, 0, AT(quiet), 0, NULL, "no progress on standard error"},
    {"help", FLAG, 0, AT(help), 0, NULL, "this text"},
};

enum { FLAGS = sizeof(flags) / sizeof(flags[0]) };

static bool taken(const struct flag *f, uint32_t takes)
{
    return f->group == 0 || (f->group & takes) != 0;
}

static const struct flag *settings_find(const char *name, size_t len, uint32_t takes)
{
    for (size_t i = 0; i < FLAGS; i++) {
        if (taken(&flags[i], takes) && strlen(flags[i].name) == len && memcmp(flags[i].name, name, len) == 0)
            return &flags[i];
    }
    return NULL;
}

static int settings_number(const struct flag *f, const char *text, uint64_t *number, struct error *e)
{
    uint64_t v = 0;
    int rc = f->kind == COUNT  ? units_count(text, &v, e)
             : f->kind == SIZE ? human_size(text, &v, e)
                               : human_duration(text, &v, e);
    if (rc != ERR_OK)
        return error_wrap(e, "--%s", f->name);
    if (v > f->max)
        return error_field(e, ERR_INVALID, f->name, "--%s is at most %" PRIu64, f->name, f->max);
    *number = v;
    return ERR_OK;
}

static int settings_set(struct settings *s, const struct flag *f, const char *value, struct error *e)
{
    void *at = (char *)s + f->offset;
    if (f->kind == FLAG) {
        *(bool *)at = true;
        return ERR_OK;
    }
    if (f->kind == TEXT) {
        *(const char **)at = value;
        return ERR_OK;
    }
    return settings_number(f, value, at, e);
}

/* What no command can do with. */
static int settings_check(const struct settings *s, struct error *e)
{
    if (s->window == 0)
        return error_field(e, ERR_INVALID, "window", "--window is at least 1");
    if (s->batch == 0)
        return error_field(e, ERR_INVALID, "batch", "--batch is at least 1");
    return ERR_OK;
}

int settings_parse(struct settings *s, uint32_t takes, int argc, const char *const *argv, struct error *e)
{
    for (int i = 0; i < argc; i++) {
        const char *name = argv[i] + 2;
        size_t len = strncmp(argv[i], "--", 2) == 0 ? strcspn(name, "=") : 0;
        const struct flag *f = len > 0 ? settings_find(name, len, takes) : NULL;
        const char *value = f != NULL && name[len] == '=' ? name + len + 1 : NULL;
        if (f == NULL)
            return error_set(e, ERR_INVALID, "\"%s\" is not understood here", argv[i]);
        if (f->kind == FLAG && value != NULL)
            return error_field(e, ERR_INVALID, f->name, "--%s takes no value", f->name);
        if (f->kind != FLAG && value == NULL) {
            if (++i >= argc)
                return error_field(e, ERR_INVALID, f->name, "--%s needs a value: --%s %s", f->name, f->name, f->value);
            value = argv[i];
        }
        int rc = settings_set(s, f, value, e);
        if (rc != ERR_OK)
            return rc;
    }
    return s->help ? ERR_OK : settings_check(s, e);
}

static void settings_default(const struct settings *s, const struct flag *f)
{
    const void *at = (const char *)s + f->offset;
    char text[HUMAN_TEXT_MAX];
    if (f->kind == TEXT && *(const char *const *)at != NULL)
        printf("; default %s", *(const char *const *)at);
    else if (f->kind == COUNT)
        printf("; default %" PRIu64, *(const uint64_t *)at);
    else if (f->kind == SIZE)
        printf("; default %s", human_size_text(*(const uint64_t *)at, text));
    else if (f->kind == DURATION)
        printf("; default %s", human_duration_text(*(const uint64_t *)at, text));
}

void settings_help(const struct settings *s, uint32_t takes)
{
    for (size_t i = 0; i < FLAGS; i++) {
        const struct flag *f = &flags[i];
        if (!taken(f, takes))
            continue;
        char name[48];
        snprintf(name, sizeof(name), "--%s%s%s", f->name, f->value != NULL ? " " : "",
                 f->value != NULL ? f->value : "");
        printf("  %-20s %s", name, f->help);
        settings_default(s, f);
        printf("\n");
    }
}
