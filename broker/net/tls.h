/* TLS 1.3 as a filter over bytes: no socket here. Both sides show a certificate of the same authority.
 *
 * A stream drives it (stream_secure): what the peer sent goes in, plain bytes come out, and the other way round. Nothing of
 * this is on the way of a stream without TLS.
 *
 * Who is let in: any certificate of the authority in `ca`. So that authority is to be the cluster's alone. The side that dials also
 * wants the certificate to be made out to the host it dialled.
 *
 * Threads: a context may be used by all; a session belongs to one loop. */
#ifndef HATO_NET_TLS_H
#define HATO_NET_TLS_H

#include "base/bytes.h"
#include "base/error.h"

struct tls_context;
struct tls;

/* Files in PEM. */
struct tls_files {
    const char *certificate; /* this side's, with what is between it and the authority behind it */
    const char *key;
    const char *ca; /* authorities that the other side's certificate may come from */
};

/* Errors: ERR_INVALID naming the file and what is wrong with it. */
int tls_context_create(const struct tls_files *files, struct tls_context **out, struct error *e);
void tls_context_destroy(struct tls_context *c); /* accepts NULL; sessions keep what they need */

/* A session of the side that dialled `host` (a name or an address), or with NULL of the side that was dialled. */
struct tls *tls_create(struct tls_context *c, const char *host);
void tls_destroy(struct tls *t); /* accepts NULL */

/* Takes what the peer sent and appends what it means to `plain`. There may be something to be sent afterwards, also after an
 * error: the peer is told why. Errors: ERR_UNAUTHENTICATED (a certificate was refused, by this side or by the other; the
 * message says which and why), ERR_PROTOCOL, ERR_CLOSED (the peer has said all). */
int tls_take(struct tls *t, struct bytes in, struct buffer *plain, struct error *e);

/* Both sides know each other: before that nothing can be put. */
bool tls_ready(const struct tls *t);

/* Encrypts all of it. */
void tls_put(struct tls *t, struct bytes plain);

bool tls_has_output(const struct tls *t);
void tls_take_output(struct tls *t, struct buffer *out); /* appends what is to be sent */

#endif
