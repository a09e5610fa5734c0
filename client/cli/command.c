#include "cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli/json.h"

const struct option global_options[] = {
    {"server", OPTION_TEXT, offsetof(struct globals, server), "HOST:PORT", "the broker (HATO_SERVER; 127.0.0.1:9325)",
     NULL, 0, 0},
    {"deadline", OPTION_DURATION, offsetof(struct globals, deadline_ms), "DURATION",
     "give up when an answer takes longer (30s)", NULL, 0, 0},
    {"json", OPTION_FLAG, offsetof(struct globals, json), NULL, "print JSON, errors too", NULL, 0, 0},
    {"help", OPTION_FLAG, offsetof(struct globals, help), NULL, "show this", NULL, 0, 0},
    {0},
};

const struct command *const command_tables[] = {
    queue_commands,    send_commands, receive_commands, settle_commands, peek_commands,       redrive_commands,
    function_commands, bind_commands, status_commands,  top_commands,    completion_commands, NULL,
};

/* ---------------------------------------------------------------- help */

static const char EXIT_TABLE[] =
    "Ends with 0 when done, 1 refused by the broker, 2 wrong command line, 3 broker not reached,\n"
    "4 no answer in time (it may have happened), 5 some of several refused, 6 local reading or\n"
    "writing failed, 130 stopped by ctrl-c. Durations: 250ms, 30s, 10m, 1h30m, 7d. Sizes: 64KiB, 1MiB.\n";

void command_help(const struct command *c)
{
    printf("hato %s%s%s%s\n\n%s\n", c->name, c->arguments[0] != '\0' ? " " : "", c->arguments,
           c->options != NULL ? " [options]" : "", c->summary);
    if (c->more != NULL)
        printf("%s\n", c->more);
    if (c->options != NULL) {
        printf("\nOptions:\n");
        option_help(c->options);
    }
    printf("\nEverywhere:\n");
    option_help(global_options);
    printf("\nExample:\n");
    for (const char *at = c->example; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        printf("  %.*s\n", (int)len, at);
        at += len + (at[len] == '\n');
    }
    printf("\n%s", EXIT_TABLE);
}

void command_overview(void)
{
    printf("hato, the command line of the Hato message broker (%s)\n\n", hato_version());
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++) {
            char head[80];
            snprintf(head, sizeof head, "%s %s", c->name, c->arguments);
            printf("  hato %-38s %s\n", head, c->summary);
        }
    }
    printf("\nhato COMMAND --help tells more, with an example.\n\nEverywhere:\n");
    option_help(global_options);
    printf("\n%s", EXIT_TABLE);
}

/* ---------------------------------------------------------------- errors */

static enum exit_code exit_of(int code)
{
    switch (code) {
    case HATO_OK:
        return EXIT_DONE;
    case HATO_IO:
    case HATO_PROTOCOL:
    case HATO_VERSION_MISMATCH:
        return EXIT_UNREACHABLE;
    case HATO_TIMEOUT:
    case HATO_UNKNOWN_OUTCOME:
    case HATO_CLOSED:
        return EXIT_UNKNOWN;
    case HATO_CANCELLED:
        return EXIT_STOPPED;
    default:
        return EXIT_REFUSED;
    }
}

/* What to do next, where the broker's own sentence can't know it. */
static const char *advice(const struct hato_error *e)
{
    if (e->code == HATO_IO && strstr(e->message, "refused") != NULL)
        return "; start one with: hatod --data ./data (or name another: --server HOST:PORT, HATO_SERVER)";
    if (e->code == HATO_PROTOCOL && strstr(e->message, "native port") != NULL)
        return "; --server wants the native port, not the HTTP one";
    if (e->code == HATO_TIMEOUT)
        return "; it may still happen; --deadline waits longer";
    return "";
}

static void tell(bool as_json, const char *code, const char *field, const char *message, const char *next)
{
    fflush(stdout);
    if (!as_json) {
        fprintf(stderr, "hato: %s%s\n", message, next);
        return;
    }
    struct json j = {0};
    json_object(&j, NULL);
    json_object(&j, "error");
    json_text(&j, "code", code);
    json_text(&j, "field", field);
    json_text(&j, "message", message);
    json_object_end(&j);
    json_object_end(&j);
    fprintf(stderr, "%.*s\n", (int)j.out.len, (const char *)j.out.data);
    buffer_close(&j.out);
}

enum exit_code command_error(struct run *r, const struct hato_error *e)
{
    tell(r->globals.json, hato_code_name(e->code), e->field, e->message, advice(e));
    return exit_of(e->code);
}

enum exit_code command_usage(struct run *r, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    char next[120];
    snprintf(next, sizeof next, "; see: hato %s --help", r->command->name);
    tell(r->globals.json, "usage", "", message, next);
    return EXIT_USAGE;
}

struct hato_reply *command_wait(struct run *r, struct hato_call *call, enum exit_code *code)
{
    struct hato_reply *reply = hato_wait(call);
    *code = EXIT_DONE;
    if (reply->error.code == HATO_OK)
        return reply;
    *code = command_error(r, &reply->error);
    hato_reply_destroy(reply);
    return NULL;
}

bool command_confirm(bool yes, const char *format, ...)
{
    if (yes || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return true;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " [y/N] ");
    char answer[8] = "";
    return fgets(answer, sizeof answer, stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y');
}

/* ---------------------------------------------------------------- running */

/* How many words of argv name the command; 0 when they don't. */
static int words_matched(const char *name, const char **argv, int argc)
{
    int words = 0;
    for (const char *at = name; *at != '\0'; words++) {
        size_t len = strcspn(at, " ");
        if (words == argc || strlen(argv[words]) != len || strncmp(argv[words], at, len) != 0)
            return 0;
        at += len + (at[len] == ' ');
    }
    return words;
}

static const struct command *find(const char **argv, int argc, int *words)
{
    const struct command *best = NULL;
    *words = 0;
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++) {
            int n = words_matched(c->name, argv, argc);
            if (n > *words) {
                *words = n;
                best = c;
            }
        }
    }
    return best;
}

/* "hato queue", "hato queue --help": the commands of that noun. */
static bool show_noun(const char *noun)
{
    bool any = false;
    size_t len = strlen(noun);
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++) {
            if (strncmp(c->name, noun, len) != 0 || c->name[len] != ' ')
                continue;
            printf("  hato %s %s\n      %s\n", c->name, c->arguments, c->summary);
            any = true;
        }
    }
    return any;
}

static enum exit_code connect_and_run(struct run *r)
{
    const char *server = r->globals.server != NULL ? r->globals.server : getenv("HATO_SERVER");
    struct hato_options options = {
        .server = server != NULL && server[0] != '\0' ? server : NULL,
        .name = "hato/" HATO_VERSION,
        .timeout_ms = r->globals.deadline_ms,
        .first_connect_ms = 1,
    };
    char why[256];
    r->client = hato_client_create(NULL, &options, why, sizeof why);
    if (r->client == NULL)
        return command_usage(r, "--server: %s", why);
    enum exit_code code = r->command->run(r);
    hato_client_destroy(r->client);
    if (fflush(stdout) != 0 && code == EXIT_DONE) {
        fprintf(stderr, "hato: cannot write to standard output\n");
        code = EXIT_LOCAL;
    }
    return code;
}

static enum exit_code check_count(struct run *r)
{
    size_t n = r->arguments.count;
    if (n < r->command->min || n > r->command->max)
        return command_usage(r, "%s: hato %s %s", n < r->command->min ? "too few arguments" : "too many arguments",
                             r->command->name, r->command->arguments);
    return EXIT_DONE;
}

static enum exit_code run_command(const struct command *c, const char **argv, int argc)
{
    static const struct option none[] = {{0}};
    struct run *r = memory_zero(1, sizeof *r);
    r->command = c;
    r->values = memory_zero(1, c->values_size);
    struct option_set sets[] = {{c->options != NULL ? c->options : none, r->values}, {global_options, &r->globals}};
    struct error e;
    enum exit_code code = EXIT_DONE;
    if (option_read(sets, 2, argv, argc, &r->arguments, &e) != ERR_OK)
        code = command_usage(r, "%s", e.message);
    else if (r->globals.help)
        command_help(c);
    else if ((code = check_count(r)) == EXIT_DONE)
        code = connect_and_run(r);
    memory_free(r->values);
    memory_free(r);
    return code;
}

/* Options of every command may also stand before it. Returns how many arguments they take. */
static int leading_options(const char **argv, int argc)
{
    int i = 0;
    while (i < argc && strncmp(argv[i], "--", 2) == 0) {
        bool alone = strcmp(argv[i], "--json") == 0 || strchr(argv[i], '=') != NULL;
        bool with_value = strcmp(argv[i], "--server") == 0 || strcmp(argv[i], "--deadline") == 0;
        if (!alone && !with_value)
            break;
        i += alone ? 1 : 2;
    }
    return i < argc ? i : 0;
}

/* Puts the first `n` arguments behind the command's words, where its own options are read. */
static void move_behind(const char **argv, int n, int words)
{
    for (int w = 0; w < words; w++) {
        const char *word = argv[n + w];
        for (int i = n + w; i > w; i--)
            argv[i] = argv[i - 1];
        argv[w] = word;
    }
}

static int other_words(int argc, const char **argv)
{
    const char *first = argc > 0 ? argv[0] : "--help";
    if (strcmp(first, "--version") == 0) {
        printf("hato %s\n", hato_version());
        return EXIT_DONE;
    }
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 || strcmp(first, "help") == 0) {
        command_overview();
        return argc > 0 ? EXIT_DONE : EXIT_USAGE;
    }
    if (show_noun(first))
        return argc > 1 && strcmp(argv[1], "--help") == 0 ? EXIT_DONE : EXIT_USAGE;
    fprintf(stderr, "hato: no command '%s'; hato --help lists them\n", first);
    return EXIT_USAGE;
}

int command_main(int argc, const char **argv)
{
    argc--;
    argv++;
    int leading = leading_options(argv, argc);
    int words;
    const struct command *c = find(argv + leading, argc - leading, &words);
    if (c == NULL)
        return other_words(argc - leading, argv + leading);
    move_behind(argv, leading, words);
    return (int)run_command(c, argv + words, argc - words);
}
