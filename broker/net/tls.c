#include "net/tls.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/assert.h"
#include "base/memory.h"

enum { PLAIN_STEP = 16 * 1024, SUBJECT_MAX = 128 }; /* a TLS record's content; of a name in messages */

struct tls_context {
    SSL_CTX *ssl;
};

struct tls {
    SSL *ssl;
    BIO *in;
    BIO *out;
    struct error refused; /* the peer's certificate, by this side */
};

/* ---------------------------------------------------------------- certificates */

/* The last reason that libcrypto gives, and none left behind for the next to find. */
static const char *last_reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    ERR_clear_error();
    return reason != NULL ? reason : "no reason given";
}

static void subject_of(X509 *x, char *out, size_t size)
{
    snprintf(out, size, "unknown");
    if (x != NULL)
        X509_NAME_oneline(X509_get_subject_name(x), out, (int)size);
}

/* Called for each certificate of the peer's chain; `ok` is 0 where one does not hold. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
    if (ok == 1)
        return ok;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *t = SSL_get_app_data(ssl);
    char subject[SUBJECT_MAX];
    subject_of(X509_STORE_CTX_get_current_cert(store), subject, sizeof subject);
    int depth = X509_STORE_CTX_get_error_depth(store);
    error_set(&t->refused, ERR_UNAUTHENTICATED, "the other side's %s %s is refused: %s",
              depth == 0 ? "certificate" : "issuing certificate", subject,
              X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
    return ok;
}

static int bad_file(const char *what, const char *path, struct error *e)
{
    return error_field(e, ERR_INVALID, what, "%s %s can't be used: %s", what, path, last_reason());
}

static int load(SSL_CTX *ssl, const struct tls_files *f, struct error *e)
{
    if (SSL_CTX_use_certificate_chain_file(ssl, f->certificate) != 1)
        return bad_file("certificate", f->certificate, e);
    if (SSL_CTX_use_PrivateKey_file(ssl, f->key, SSL_FILETYPE_PEM) != 1)
        return ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH
                   ? error_field(e, ERR_INVALID, "key", "the key %s does not belong to the certificate %s", f->key,
                                 f->certificate)
                   : bad_file("key", f->key, e);
    if (SSL_CTX_load_verify_file(ssl, f->ca) != 1)
        return bad_file("ca", f->ca, e);
    return ERR_OK;
}

int tls_context_create(const struct tls_files *files, struct tls_context **out, struct error *e)
{
    ERR_clear_error();
    SSL_CTX *ssl = SSL_CTX_new(TLS_method());
    ASSERT(ssl != NULL);
    SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    SSL_CTX_set_num_tickets(ssl, 0); /* each connection proves itself anew */
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    int rc = load(ssl, files, e);
    if (rc != ERR_OK) {
        SSL_CTX_free(ssl);
        return rc;
    }
    struct tls_context *c = memory_zero(1, sizeof *c);
    c->ssl = ssl;
    *out = c;
    return ERR_OK;
}

void tls_context_destroy(struct tls_context *c)
{
    if (c == NULL)
        return;
    SSL_CTX_free(c->ssl);
    memory_free(c);
}

/* ---------------------------------------------------------------- a session */

static void expect_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    struct in6_addr any;
    bool is_address = inet_pton(AF_INET, host, &any) == 1 || inet_pton(AF_INET6, host, &any) == 1;
    int rc = is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, host) : X509_VERIFY_PARAM_set1_host(param, host, 0);
    ASSERT(rc == 1);
}

struct tls *tls_create(struct tls_context *c, const char *host)
{
    struct tls *t = memory_zero(1, sizeof *t);
    t->ssl = SSL_new(c->ssl);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    ASSERT(t->ssl != NULL && t->in != NULL && t->out != NULL);
    BIO_set_mem_eof_return(t->in, -1); /* empty means later, not the end */
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_app_data(t->ssl, t);
    if (host == NULL) {
        SSL_set_accept_state(t->ssl);
        return t;
    }
    expect_host(t->ssl, host);
    SSL_set_connect_state(t->ssl);
    SSL_do_handshake(t->ssl); /* the first word is this side's */
    return t;
}

void tls_destroy(struct tls *t)
{
    if (t == NULL)
        return;
    SSL_free(t->ssl);
    memory_free(t);
}

static int explain(struct tls *t, int code, struct error *e)
{
    unsigned long reason = ERR_peek_error();
    bool alert = ERR_GET_LIB(reason) == ERR_LIB_SSL && ERR_GET_REASON(reason) >= SSL_AD_REASON_OFFSET;
    const char *text = last_reason();
    if (code == SSL_ERROR_ZERO_RETURN)
        return error_set(e, ERR_CLOSED, "the other side closed the connection");
    if (t->refused.code != ERR_OK) {
        *e = t->refused;
        return (int)e->code;
    }
    if (alert) /* OpenSSL's text names the alert: "tlsv1 alert unknown ca" */
        return error_set(e, ERR_UNAUTHENTICATED, "the other side refused this side's certificate or TLS: %s", text);
    return error_set(e, SSL_is_init_finished(t->ssl) ? ERR_PROTOCOL : ERR_UNAUTHENTICATED,
                     "the other side does not speak TLS as wanted: %s", text);
}

int tls_take(struct tls *t, struct bytes in, struct buffer *plain, struct error *e)
{
    ERR_clear_error();
    ASSERT(in.len <= INT_MAX && BIO_write(t->in, in.data, (int)in.len) == (int)in.len);
    for (;;) {
        uint8_t *at = buffer_reserve(plain, PLAIN_STEP);
        int n = SSL_read(t->ssl, at, PLAIN_STEP);
        if (n > 0) {
            plain->len += (size_t)n;
            continue;
        }
        int code = SSL_get_error(t->ssl, n);
        return code == SSL_ERROR_WANT_READ ? ERR_OK : explain(t, code, e);
    }
}

bool tls_ready(const struct tls *t)
{
    return SSL_is_init_finished(t->ssl) == 1;
}

void tls_put(struct tls *t, struct bytes plain)
{
    while (plain.len > 0) {
        int n = SSL_write(t->ssl, plain.data, plain.len < INT_MAX ? (int)plain.len : INT_MAX);
        ASSERT(n > 0); /* the memory it writes to grows */
        plain = bytes_of(plain.data + n, plain.len - (size_t)n);
    }
}

bool tls_has_output(const struct tls *t)
{
    return BIO_ctrl_pending(t->out) > 0;
}

void tls_take_output(struct tls *t, struct buffer *out)
{
    size_t len = BIO_ctrl_pending(t->out);
    if (len == 0)
        return;
    ASSERT(len <= INT_MAX);
    int n = BIO_read(t->out, buffer_reserve(out, len), (int)len);
    ASSERT(n > 0 && (size_t)n == len);
    out->len += len;
}
