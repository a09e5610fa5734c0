/* Which messages of a batch failed, as a function's answer says: {"batchItemFailures": [{"itemIdentifier": "<message
 * id>"}]}.
 *
 * AWS's rules: no list, an empty list or null means that all went well; an entry without an identifier, with an empty
 * or null one, or with one that is not of this batch means that the whole batch failed; so does an answer that claims
 * to be JSON and is not. (Or is nested deeper than JSON_READ_DEPTH_MAX.) An answer that claims nothing ("ok", or nothing at all) says nothing of failures. Pure. */
#ifndef HATO_DISPATCH_PARTIAL_H
#define HATO_DISPATCH_PARTIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

struct message;

enum { PARTIAL_ENTRIES_MAX = 10000 };

enum partial { PARTIAL_NONE_FAILED, PARTIAL_SOME_FAILED, PARTIAL_ALL_FAILED };

/* `failed` has `count` places; it says which when some failed, and nothing otherwise. *why is a literal, "" unless all failed. */
enum partial partial_read(struct bytes answer, const char *content_type, const struct message *messages, size_t count,
                          bool *failed, const char **why);

#endif
