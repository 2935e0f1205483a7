/* SPDX-License-Identifier: Apache-2.0 */
/* A model file that is cut short while it is read ends saker with its name and the exit code of SK_EIO. */
#ifndef SK_FCGI_FAULT_H
#define SK_FCGI_FAULT_H

/* Once, at the start of main(). */
void sk_fault_init(void);

#endif
