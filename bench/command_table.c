/* Measurements of several rounds on standard input to the table of medians (table.h). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "bench/command.h"
#include "bench/table.h"

static int command_run_table(const struct settings *s, struct report *r, struct error *e)
{
    (void)r;
    struct table *t = memory_zero(1, sizeof(*t));
    char line[512];
    int rc = ERR_OK;
    for (uint32_t n = 1; rc == ERR_OK && fgets(line, sizeof(line), stdin) != NULL; n++) {
        rc = table_add(t, line, e);
        if (rc != ERR_OK)
            rc = error_wrap(e, "line %u", n);
    }
    if (rc == ERR_OK && ferror(stdin))
        rc = error_set(e, ERR_IO, "cannot read standard input: %s", strerror(errno));
    if (rc == ERR_OK && s->json)
        table_print_json(t, stdout);
    else if (rc == ERR_OK)
        table_print(t, stdout);
    memory_free(t);
    return rc;
}

const struct command command_table = {
    .name = "table",
    .what = "turn measurements of several rounds into a table of medians",
    .about =
        "Reads lines of NAME, AIM (\">= 5\" or \"<= 1.5\"), VALUE and AGAINST, parted by tabs, from standard input.\n"
        "The lines of one name are its rounds. With --json: [{name, value, against, ratio, aim, met}].",
    .example = "printf 'send vs limit\\t>= 0.4\\t210000\\t430000\\n' | hato-bench table",
    .run = command_run_table,
};
