#include "cli/help.h"

#include <stdio.h>
#include <string.h>

struct noun {
    const char *name;
    const char *summary;
    const char *example;
};

static const struct noun nouns[] = {
    {"queue", "Queues hold messages until they are received and acked.",
     "hato queue create jobs --visibility 30s --dead-letter jobs-dead --max-receives 5\nhato queue list"},
    {"function", "Functions are HTTP endpoints that messages of queues are pushed to.",
     "hato function create resize --url http://127.0.0.1:8080/ --format lambda\nhato bind jobs resize --batch 10"},
};
enum { NOUNS = sizeof nouns / sizeof nouns[0] };

static void print_ends(void)
{
    printf("\nExit codes: 0 done, 1 refused by the broker, 2 wrong command line, 3 broker not reached,\n"
           "4 no answer in time (it may have happened), 5 some of several refused, 6 local reading or\n"
           "writing failed, 130 stopped by ctrl-c. Durations: 250ms, 30s, 10m, 1h30m, 7d. Sizes: 64KiB, 1MiB.\n");
}

static void print_example(const char *lines)
{
    printf("\nExample:\n");
    for (const char *at = lines; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        printf("  %.*s\n", (int)len, at);
        at += len + (at[len] == '\n');
    }
}

static void print_globals(void)
{
    printf("\nEverywhere:\n");
    option_help(global_options);
}

void help_command(const struct command *c)
{
    printf("hato %s%s%s%s\n\n%s\n", c->name, c->arguments[0] != '\0' ? " " : "", c->arguments,
           c->options != NULL ? " [options]" : "", c->summary);
    if (c->more != NULL)
        printf("%s\n", c->more);
    if (c->options != NULL) {
        printf("\nOptions (defaults in parentheses):\n");
        option_help(c->options);
    }
    print_globals();
    print_example(c->example);
    print_ends();
}

static const struct noun *find_noun(const char *word)
{
    for (int i = 0; i < NOUNS; i++) {
        if (strcmp(nouns[i].name, word) == 0)
            return &nouns[i];
    }
    return NULL;
}

/* The commands whose first word is `noun`, or all. */
static void print_commands(const char *noun)
{
    size_t len = noun != NULL ? strlen(noun) : 0;
    for (size_t t = 0; command_tables[t] != NULL; t++) {
        for (const struct command *c = command_tables[t]; c->name != NULL; c++) {
            char head[80];
            if (noun != NULL && (strncmp(c->name, noun, len) != 0 || c->name[len] != ' '))
                continue;
            snprintf(head, sizeof head, "%s %s", c->name, c->arguments);
            printf("  hato %-38s %s\n", head, c->summary);
        }
    }
}

bool help_is_noun(const char *word)
{
    return find_noun(word) != NULL;
}

void help_noun(const char *noun)
{
    const struct noun *n = find_noun(noun);
    printf("hato %s COMMAND\n\n%s\n\nCommands:\n", n->name, n->summary);
    print_commands(n->name);
    printf("\nhato %s COMMAND --help lists its options.\n", n->name);
    print_globals();
    print_example(n->example);
    print_ends();
}

void help_program(void)
{
    printf("hato, the command line of the Hato message broker (%s)\n\n", hato_version());
    print_commands(NULL);
    printf("\nhato COMMAND --help tells more, with its options and an example.\n");
    print_globals();
    print_example("hato queue create jobs\nhato send jobs 'hello'\nhato receive jobs --ack");
    print_ends();
}
