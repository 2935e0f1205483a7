/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as what answers `saker top`: HTTP, FastCGI records, metrics, a list of requests. The first byte says which. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fcgi/ask.h"
#include "fcgi/top_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void numbers(struct sk_buf *b)
{
	struct sk_scrape s = { 0 };
	struct sk_top t = { 0 };
	struct sk_err err = { 0 };
	struct sk_buf screen = SK_BUF(1 << 18);

	if (sk_scrape_read(sk_buf_str(b), b->len, &s, &err) == SK_OK) {
		sk_top_take(&t, &s, NULL, NULL, 1);
		sk_top_take(&t, &s, &s, &t.totals, 1);
		sk_top_draw(&t, 24, 80, true, &screen);
		if (screen.failed)
			abort();
	}
	sk_scrape_fini(&s);
	sk_buf_fini(&screen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct sk_buf b = SK_BUF(1 << 20);
	struct sk_err err = { 0 };
	struct sk_top t = { 0 };
	bool ended;
	int status;

	if (len && sk_buf_add(&b, data + 1, len - 1) == SK_OK) {
		if (data[0] == 'r') {
			if (sk_ask_read_records(&b, &ended, &err) == SK_OK && b.len > len)
				abort();
			sk_ask_read_http(&b, &status, &err);
		} else if (data[0] == 'h') {
			sk_ask_read_http(&b, &status, &err);
		} else if (data[0] == 'j') {
			sk_top_take_requests(&t, sk_buf_str(&b), b.len, &err);
		} else {
			numbers(&b);
		}
	}
	sk_buf_fini(&b);
	return 0;
}
