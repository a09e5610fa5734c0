/* The kinds of request, as a table. */
#ifndef HATO_LIBRARY_OPERATION_H
#define HATO_LIBRARY_OPERATION_H

#include "library/request.h"

/* Of this `op`, which must be in the table. */
const struct operation *operation_of(Hato__Request__OpCase request);

/* A name given by the user. Errors: HATO_INVALID when it is NULL, empty or endless. */
int operation_check_name(const char *field, const char *name, struct error *e);

#endif
