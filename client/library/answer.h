/* What the broker answers, handed to those who asked. */
#ifndef HATO_LIBRARY_ANSWER_H
#define HATO_LIBRARY_ANSWER_H

#include "library/client.h"

/* One frame, whole. False when it breaks the protocol (`e` says how) or says that the connection ends: it is to be closed. */
bool answer_frame(struct hato_client *c, struct bytes frame, struct error *e);

#endif
