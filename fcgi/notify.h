/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to the service manager: the datagram protocol of sd_notify(3), without libsystemd. */
#ifndef SK_FCGI_NOTIFY_H
#define SK_FCGI_NOTIFY_H

#include <stdint.h>

/* Send one message ("READY=1", "STATUS=..."), when NOTIFY_SOCKET is set; else nothing. Never blocks. */
void sk_notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* How often WATCHDOG=1 must be sent, half of WATCHDOG_USEC; 0: not asked for. */
int64_t sk_notify_watchdog_us(void);

#endif
