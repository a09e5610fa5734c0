/* Sends every line of standard input as a message, with a window of sends under way. */
#ifndef HATO_CLI_LINES_H
#define HATO_CLI_LINES_H

#include "cli/command.h"

/* `like` has all but the body. Stops reading at the first line that is refused, waits for what is under way, and tells what was
 * sent and which lines were not. Ends the program itself when a read of standard input is still under way then. */
enum exit_code lines_send(struct run *r, const char *queue, const struct hato_message *like, uint32_t window);

#endif
