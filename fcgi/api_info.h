/* SPDX-License-Identifier: Apache-2.0 */
/* /info's members, for the document that describes them. */
#ifndef SK_FCGI_API_INFO_H
#define SK_FCGI_API_INFO_H

struct sk_request;

/* Append to r->out `"member":{"type":...}` for each member that /info has in this dialect, with commas. */
void sk_info_schema(struct sk_request *r);

#endif
