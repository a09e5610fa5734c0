/* The pages of --help: of the program, of a noun with its commands ("queue"), of a command. All go to standard output. */
#ifndef HATO_CLI_HELP_H
#define HATO_CLI_HELP_H

#include <stdbool.h>

#include "cli/command.h"

void help_program(void);

bool help_is_noun(const char *word);
void help_noun(const char *noun);

void help_command(const struct command *c);

#endif
