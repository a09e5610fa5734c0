/* hato-bench: loads Hato and its peers in the same way, and says what it saw. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench/command.h"

static const struct command *const commands[] = {
    &command_send,   &command_latency, &command_receive,  &command_pipeline, &command_push,  &command_backlog,
    &command_queues, &command_limit,   &command_function, &command_systems,  &command_table,
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const struct settings common = {
    .system = "hato",
    .dir = "/var/tmp",
    .queue = "bench",
    .duration_ms = 5000,
    .warmup_ms = 1000,
    .window = 1000,
    .size = 1024,
    .batch = 100,
};

static void main_help(FILE *out)
{
    fprintf(out, "Usage: hato-bench COMMAND [flags]      hato-bench COMMAND --help\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->what);
    fprintf(out, "\nExample:\n  %s\n\nbench/compare.sh runs them all against the limit and the peers.\n",
            command_send.example);
}

static void main_help_command(const struct command *c, const struct settings *s)
{
    printf("Usage: hato-bench %s [flags]\n\n%c%s.\n", c->name, c->what[0] - 'a' + 'A', c->what + 1);
    if (c->about != NULL)
        printf("%s\n", c->about);
    printf("\n");
    settings_help(s, c->takes);
    printf("\nExample:\n  %s\n", c->example);
}

static const struct command *main_find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    /* A schedule in microseconds is no use with a kernel that rounds sleeps to fifty of them. */
    prctl(PR_SET_TIMERSLACK, 1000);
    signal(SIGPIPE, SIG_IGN);
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0)
        return main_help(stdout), 0;
    const struct command *c = main_find(name);
    if (c == NULL) {
        fprintf(stderr, "hato-bench: no command \"%s\"\n\n", name);
        return main_help(stderr), 2;
    }
    struct settings s = common;
    if (c->defaults != NULL)
        c->defaults(&s);
    struct error e = {0};
    struct report r = {.count = 0};
    if (settings_parse(&s, c->takes, argc - 2, (const char *const *)argv + 2, &e) != ERR_OK) {
        fprintf(stderr, "hato-bench %s: %s. Try hato-bench %s --help\n", name, e.message, name);
        return 2;
    }
    if (s.help)
        return main_help_command(c, &s), 0;
    if (c->run(&s, &r, &e) != ERR_OK) {
        fprintf(stderr, "hato-bench %s: %s\n", name, e.message);
        return 1;
    }
    report_print(&r, s.json, stdout);
    return 0;
}
