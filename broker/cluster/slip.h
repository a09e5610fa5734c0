/* A slip: a small text file in the data directory that says what must not be forgotten. Its last line is a checksum; it is
 * replaced as a whole, and on disk when slip_write returns. */
#ifndef HATO_CLUSTER_SLIP_H
#define HATO_CLUSTER_SLIP_H

#include <stddef.h>

#include "base/error.h"

enum { SLIP_MAX = 16384 };

/* Reads `dir`/`name` into `text`, terminated and without the checksum's line. Errors: ERR_NOT_FOUND, ERR_IO, ERR_CORRUPT. */
int slip_read(const char *dir, const char *name, char text[SLIP_MAX], struct error *e);

/* Errors: ERR_IO. */
int slip_write(const char *dir, const char *name, const char *text, struct error *e);

#endif
