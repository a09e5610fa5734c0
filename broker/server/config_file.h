/* A file of settings in the manner of INI: `name = value` a line; lines that are empty or begin with ; or # are passed over, and
 * so are [sections]. A value ends with its line or before a " ;". What other readers take for something else (a line that is
 * indented and so would go on the one before, a value in quotes) is refused. */
#ifndef HATO_SERVER_CONFIG_FILE_H
#define HATO_SERVER_CONFIG_FILE_H

#include "base/error.h"

enum { CONFIG_FILE_MAX = 64 * 1024 }; /* bytes */

/* One setting; both end with a zero byte and live until it returns. Errors: end the reading. */
typedef int (*config_file_setting)(void *user, const char *name, const char *value, struct error *e);

/* Stops at the first line that is wrong. Errors: ERR_IO, ERR_TOO_LARGE, ERR_INVALID and those of `on_setting`, with path and line's number. */
int config_file_read(const char *path, config_file_setting on_setting, void *user, struct error *e);

#endif
