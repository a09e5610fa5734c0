#include "cli/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "cli/help.h"
#include "cli/json.h"
#include "cli/text.h"

enum { SILENCE_MIN_MS = 1000, SILENCE_MAX_MS = 20000 };

const struct option global_options[] = {
    {"server", OPTION_TEXT, offsetof(struct globals, server), "HOST:PORT", "the broker (HATO_SERVER; 127.0.0.1:9325)",
     NULL, 0, 0},
    {"deadline", OPTION_DURATION, offsetof(struct globals, deadline_ms), "DURATION",
     "give up when an answer takes longer (30s)", NULL, 0, 0, .min = 1, .max = OPTION_YEAR},
    {"json", OPTION_FLAG, offsetof(struct globals, json), NULL, "print JSON, errors too", NULL, 0, 0},
    {"help", OPTION_FLAG, offsetof(struct globals, help), NULL, "show this", NULL, 0, 0},
    {0},
};

const struct command *const command_tables[] = {
    queue_commands,      send_commands, receive_commands, settle_commands,  peek_commands, redrive_commands,
    function_commands,   bind_commands, status_commands,  cluster_commands, node_commands, top_commands,
    completion_commands, NULL,
};

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
    if (e->code == HATO_IO && strstr(e->message, "no answer") != NULL)
        return "; see that a broker runs there and that no firewall is between (or name another: --server HOST:PORT)";
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
        fprintf(stderr, "hato: ");
        text_print(stderr, message);
        fprintf(stderr, "%s\n", next);
        return;
    }
    struct buffer sentence = {0};
    buffer_printf(&sentence, "%s%s", message, next);
    struct json j = {0};
    json_object(&j, NULL);
    json_object(&j, "error");
    json_text(&j, "code", code);
    json_text(&j, "field", field);
    json_bytes(&j, "message", sentence.data, sentence.len);
    json_object_end(&j);
    json_object_end(&j);
    fprintf(stderr, "%.*s\n", (int)j.out.len, (const char *)j.out.data);
    buffer_close(&j.out);
    buffer_close(&sentence);
}

enum exit_code command_error(struct run *r, const struct hato_error *e)
{
    tell(r->globals.json, hato_code_name(e->code), e->field, e->message, advice(e));
    return exit_of(e->code);
}

enum exit_code command_error_at(struct run *r, const struct hato_error *e, const char *format, ...)
{
    struct buffer sentence = {0};
    char context[128];
    va_list args;
    va_start(args, format);
    vsnprintf(context, sizeof context, format, args);
    va_end(args);
    buffer_printf(&sentence, "%s: %s", context, e->message);
    buffer_u8(&sentence, 0);
    tell(r->globals.json, hato_code_name(e->code), e->field, (const char *)sentence.data, advice(e));
    buffer_close(&sentence);
    return exit_of(e->code);
}

enum exit_code command_failed(struct run *r, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    tell(r->globals.json, "local", "", message, "");
    return EXIT_LOCAL;
}

static enum exit_code usage(struct run *r, const char *field, const char *message)
{
    char next[120];
    snprintf(next, sizeof next, "; see: hato %s --help", r->command->name);
    tell(r->globals.json, "usage", field, message, next);
    return EXIT_USAGE;
}

enum exit_code command_usage(struct run *r, const char *field, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return usage(r, field, message);
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

/* Whether --json is among the arguments, for errors that come before options are read. */
static bool wants_json(const char **argv, int argc)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            return true;
    }
    return false;
}

bool command_written(void)
{
    return fflush(stdout) == 0 && ferror(stdout) == 0;
}

/* A broker that gives no sign of life for as long as an answer may take is taken for gone: a receive, which waits as long as the
 * broker lives, ends in time then. 0: the library's own. */
static uint64_t silence_max_ms(uint64_t deadline_ms)
{
    if (deadline_ms == 0 || deadline_ms >= SILENCE_MAX_MS)
        return 0;
    return deadline_ms > SILENCE_MIN_MS ? deadline_ms : SILENCE_MIN_MS;
}

static enum exit_code connect_and_run(struct run *r)
{
    const char *server = r->globals.server != NULL ? r->globals.server : getenv("HATO_SERVER");
    struct hato_options options = {
        .server = server != NULL && server[0] != '\0' ? server : NULL,
        .name = "hato/" HATO_VERSION,
        .timeout_ms = r->globals.deadline_ms,
        .silence_max_ms = silence_max_ms(r->globals.deadline_ms),
        .first_connect_ms = 1,
    };
    char why[256];
    r->client = hato_client_create(NULL, &options, why, sizeof why);
    if (r->client == NULL)
        return command_usage(r, "server", "%s: %s", r->globals.server != NULL ? "--server" : "HATO_SERVER", why);
    enum exit_code code = r->command->run(r);
    hato_client_destroy(r->client);
    if (!command_written() && code == EXIT_DONE)
        code = command_failed(r, "cannot write to standard output");
    return code;
}

static enum exit_code check_count(struct run *r)
{
    size_t n = r->arguments.count;
    if (n < r->command->min || n > r->command->max)
        return command_usage(r, "", "%s: hato %s %s", n < r->command->min ? "too few arguments" : "too many arguments",
                             r->command->name, r->command->arguments);
    return EXIT_DONE;
}

static enum exit_code run_command(const struct command *c, const char **argv, int argc)
{
    static const struct option none[] = {{0}};
    struct run *r = memory_zero(1, sizeof *r);
    r->command = c;
    r->values = memory_zero(1, c->values_size);
    r->globals.json = wants_json(argv, argc);
    struct option_set sets[] = {{c->options != NULL ? c->options : none, r->values}, {global_options, &r->globals}};
    struct error e;
    enum exit_code code = EXIT_DONE;
    if (option_read(sets, 2, argv, argc, &r->arguments, &e) != ERR_OK)
        code = usage(r, e.field, e.message);
    else if (r->globals.help)
        help_command(c);
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
    return i < argc ? i : argc;
}

/* "queue --json list": options between a noun and its command go before the noun. Returns how many arguments they take. */
static int noun_options(const char **argv, int argc)
{
    if (argc == 0 || !help_is_noun(argv[0]))
        return 0;
    const char *noun = argv[0];
    int n = leading_options(argv + 1, argc - 1);
    for (int i = 0; i < n; i++)
        argv[i] = argv[i + 1];
    argv[n] = noun;
    return n;
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

static int usage_without_command(bool json, const char *message, const char *next)
{
    tell(json, "usage", "", message, next);
    return EXIT_USAGE;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* "hato queue": a noun alone, or with a word that is no command of it. */
static int noun_words(bool json, int argc, const char **argv)
{
    char message[200], next[80];
    const char *noun = argv[0];
    if (argc > 1 && is_help(argv[1])) {
        help_noun(noun);
        return EXIT_DONE;
    }
    bool second = argc > 1 && argv[1][0] != '-';
    snprintf(next, sizeof next, "; hato %s --help lists them", noun);
    if (second)
        snprintf(message, sizeof message, "no command '%s %.60s'", noun, argv[1]);
    else
        snprintf(message, sizeof message, "'%s' is followed by a command", noun);
    return usage_without_command(json, message, next);
}

/* What begins with no command. */
static int other_words(bool json, int argc, const char **argv)
{
    static const char lists[] = "; hato --help lists them";
    char message[200];
    if (argc == 0)
        return usage_without_command(json, "no command given", lists);
    if (strcmp(argv[0], "--version") == 0) {
        if (json)
            printf("{\"version\":\"%s\"}\n", hato_version());
        else
            printf("hato %s\n", hato_version());
        return EXIT_DONE;
    }
    if (is_help(argv[0])) {
        help_program();
        return EXIT_DONE;
    }
    if (help_is_noun(argv[0]))
        return noun_words(json, argc, argv);
    snprintf(message, sizeof message, "no %s '%.60s'", argv[0][0] == '-' ? "option" : "command", argv[0]);
    return usage_without_command(json, message, lists);
}

/* "hato help queue create" is "hato queue create --help". */
static int help_words(bool json, int argc, const char **argv)
{
    int words;
    const struct command *c = find(argv, argc, &words);
    if (argc == 0)
        help_program();
    else if (c != NULL && words == argc)
        help_command(c);
    else if (argc == 1 && help_is_noun(argv[0]))
        help_noun(argv[0]);
    else
        return other_words(json, argc, argv);
    return EXIT_DONE;
}

int command_main(int argc, const char **argv)
{
    argc--;
    argv++;
    bool json = wants_json(argv, argc);
    if (argc == 0) {
        help_program();
        return EXIT_USAGE;
    }
    int leading = leading_options(argv, argc);
    leading += noun_options(argv + leading, argc - leading);
    int words;
    if (leading < argc && strcmp(argv[leading], "help") == 0)
        return help_words(json, argc - leading - 1, argv + leading + 1);
    const struct command *c = find(argv + leading, argc - leading, &words);
    if (c == NULL)
        return other_words(json, argc - leading, argv + leading);
    move_behind(argv, leading, words);
    return (int)run_command(c, argv + words, argc - words);
}
