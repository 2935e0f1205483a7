/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks a saker that runs: GET over HTTP/1.0, or over FastCGI where it is named by its socket. For commands, which may wait.
 *
 * What answers may be anybody: lengths and times are bounded, and both readers are fuzzed.
 */
#ifndef SK_FCGI_ASK_H
#define SK_FCGI_ASK_H

#include <stdbool.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"

#define SK_ASK_BYTES_MAX ((size_t)4 << 20)      /* head and body of an answer */

/* Where it is: "http://HOST[:PORT][/PREFIX]", "HOST[:PORT]" or "unix:PATH". */
struct sk_place {
	bool is_socket;
	char host[256], port[8], prefix[256];
	char path[108];                         /* of the socket */
};

/* SK_EINVAL names what is no such place. */
sk_status sk_place_read(const char *words, struct sk_place *ret_place, struct sk_err *err);

/*
 * GET `path`; the body is in *body, which is emptied first. key: an API key, or "".
 *   SK_OK       *ret_status is the status of the answer, whatever it is
 *   SK_EIO      nobody answers there, or not within timeout_ms;  SK_EFORMAT  what came is no answer;  SK_ETOOBIG  SK_ENOMEM
 */
sk_status sk_ask(const struct sk_place *place, const char *path, const char *key, int timeout_ms, int *ret_status,
		 struct sk_buf *body, struct sk_err *err);

/* For sk_ask() and the fuzzer: an answer as it came, made into its body in place. */
sk_status sk_ask_read_http(struct sk_buf *b, int *ret_status, struct sk_err *err);
/* FastCGI records, made into what is between their heads: the answer as CGI has it. *ret_ended: END_REQUEST was there. */
sk_status sk_ask_read_records(struct sk_buf *b, bool *ret_ended, struct sk_err *err);

#endif
