/* What the store's manifest must at least hold. RocksDB takes a manifest that ends in the middle of a record, or whose last record
 * has a wrong length, for one that it was writing when the power went, and goes on without that record: with the files it
 * names given up, and deleted. But what store_flush and store_bulk_finish have called durable stands in the manifest. So its name,
 * length and hash are written down, in a file beside it, before they say so, and compared before the store is opened.
 *
 * The file has two places of DISK_BLOCK_BYTES, written in turn and synced: a crash costs the newer one at most, and what the older
 * one says of a manifest still holds, for it only grows. It takes no space that it did not have from the beginning.
 *
 * Threads: any, one at a time for guard_note. */
#ifndef HATO_STORE_GUARD_H
#define HATO_STORE_GUARD_H

#include <stdint.h>

#include "base/error.h"

struct guard;

/* Before the store is opened: the manifest that CURRENT names is as long as was written down, and the same up to there. A manifest
 * with a greater number than that written down is right (the store had been opened anew, and then there was a crash); so is a store
 * without the file, as older versions left it. Errors: ERR_CORRUPT, with file and offset; ERR_IO. */
int guard_check(const char *dir, struct error *e);

/* After it was opened. The file is made if need be. */
int guard_open(const char *dir, struct guard **out, struct error *e);
/* All that the manifest holds now stays. */
int guard_note(struct guard *g, struct error *e);
void guard_close(struct guard *g); /* accepts NULL */

#endif
