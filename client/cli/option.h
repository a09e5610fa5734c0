/* Options of the command line as tables: one description serves reading them, their help, and the shell's completion. */
#ifndef HATO_CLI_OPTION_H
#define HATO_CLI_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum option_kind {
    OPTION_END,      /* closes a table */
    OPTION_FLAG,     /* bool: --name */
    OPTION_SWITCH,   /* bool: --name, --no-name */
    OPTION_TEXT,     /* const char * */
    OPTION_LIST,     /* struct text_list, may be given again and again */
    OPTION_U32,      /* uint32_t */
    OPTION_U64,      /* uint64_t */
    OPTION_REAL,     /* double */
    OPTION_DURATION, /* uint64_t, milliseconds */
    OPTION_SIZE,     /* uint64_t, bytes */
    OPTION_CHOICE,   /* int, the place in `choices` */
};

enum { TEXT_LIST_MAX = 1024 };

/* For limits. */
#define OPTION_SECOND UINT64_C(1000)
#define OPTION_HOUR (3600 * OPTION_SECOND)
#define OPTION_DAY (24 * OPTION_HOUR)
#define OPTION_YEAR (365 * OPTION_DAY)
#define OPTION_MIB (UINT64_C(1) << 20)

struct text_list {
    const char *items[TEXT_LIST_MAX];
    size_t count;
};

struct option {
    const char *name;
    enum option_kind kind;
    size_t offset;     /* of the value in the command's struct */
    const char *value; /* what the value is called in the help; NULL: none */
    const char *help;
    const char *const *choices; /* of OPTION_CHOICE, ends with NULL */
    size_t mask_offset;         /* where `mask` is set (uint32_t) when the option is given */
    uint32_t mask;
    uint64_t min; /* of a number, duration (milliseconds) or size (bytes) */
    uint64_t max; /* 0: whatever its kind holds */
};

/* A table and the struct it fills. */
struct option_set {
    const struct option *options;
    void *values;
};

/* What is left of the arguments. The texts are those of argv. */
struct positionals {
    const char *items[TEXT_LIST_MAX];
    size_t count;
};

/* Reads `argc` arguments into the sets' structs (zeroed before, or with defaults) and the rest into `rest`. Options may
 * stand anywhere, as "--name value" or "--name=value"; after "--" nothing is an option; "-" alone is none, "-h" is --help.
 * Errors: ERR_INVALID, naming the argument and what may stand there. */
int option_read(const struct option_set *sets, size_t set_count, const char **argv, int argc, struct positionals *rest,
                struct error *e);

/* One line per option on standard output, columns aligned: what it is, its choices, its limits. */
void option_help(const struct option *options);

/* A whole number of digits alone. False: it is none, or above `max`. */
bool option_number(const char *text, uint64_t max, uint64_t *out);

/* Puts the bit of `o` into its mask, as if it had been given. */
void option_mark(const struct option *o, void *values);

#endif
