/* The commands, as a table, and what each is given to run with. */
#ifndef HATO_CLI_COMMAND_H
#define HATO_CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "cli/option.h"
#include "hato.h"

/* What the program ends with. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1,     /* the broker refused; the message says why */
    EXIT_USAGE = 2,       /* the command line is wrong */
    EXIT_UNREACHABLE = 3, /* no broker there, or none that can be spoken with */
    EXIT_UNKNOWN = 4,     /* no answer in time: what was asked for may or may not have happened */
    EXIT_PARTLY = 5,      /* some of several things were refused; the messages say which */
    EXIT_LOCAL = 6,       /* reading or writing a file, pipe or terminal failed here */
    EXIT_STOPPED = 130,   /* by the user (ctrl-c) before it was done */
};

/* Options that every command takes. */
struct globals {
    const char *server;
    uint64_t deadline_ms;
    bool json;
    bool help;
};

struct run;

struct command {
    const char *name;      /* "queue create" */
    const char *arguments; /* "QUEUE [MESSAGE...]" */
    const char *summary;   /* one line */
    const char *more;      /* further lines of help, or NULL */
    const char *example;   /* one or more lines */
    size_t min;            /* of arguments */
    size_t max;
    const struct option *options;
    size_t values_size; /* of the struct the options fill */
    enum exit_code (*run)(struct run *r);
};

struct run {
    const struct command *command;
    struct globals globals;
    void *values;
    struct positionals arguments;
    struct hato_client *client; /* with its own loop; made before `run` is called */
};

extern const struct option global_options[];

/* All commands, in the order of the help; ends with a name of NULL. */
extern const struct command *const command_tables[];

/* Each file's part of the table, ends with a name of NULL. */
extern const struct command queue_commands[];
extern const struct command send_commands[];
extern const struct command receive_commands[];
extern const struct command settle_commands[];
extern const struct command peek_commands[];
extern const struct command redrive_commands[];
extern const struct command function_commands[];
extern const struct command bind_commands[];
extern const struct command status_commands[];
extern const struct command cluster_commands[];
extern const struct command node_commands[];
extern const struct command top_commands[];
extern const struct command completion_commands[];

/* Runs the program. */
int command_main(int argc, const char **argv);

/* Waits for the call. NULL when it failed: told on standard error then, with `*code` for the program's end. */
struct hato_reply *command_wait(struct run *r, struct hato_call *call, enum exit_code *code);

/* Tells an error on standard error (as JSON with --json), and gives the code to end with. */
enum exit_code command_error(struct run *r, const struct hato_error *e);

/* As command_error, with "context: " before the message. */
enum exit_code command_error_at(struct run *r, const struct hato_error *e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reading or writing failed here. */
enum exit_code command_failed(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sends out what was printed; false when that, or any of it before, could not be written. (A large fwrite that failed leaves
 * nothing for fflush to fail on.) */
bool command_written(void);

/* A wrong use that only the command itself can see; `field` is the option at fault without its dashes, or "". */
enum exit_code command_usage(struct run *r, const char *field, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Asks before what cannot be undone, when a person is there to answer and --yes was not given. False: leave it. */
bool command_confirm(bool yes, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
