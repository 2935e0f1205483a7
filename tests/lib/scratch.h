/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of a test's own. */
#ifndef SCRATCH_H
#define SCRATCH_H

/* Makes /tmp/sk-NAME-XXXXXX and writes its path to dir; ends the program where that fails. */
void scratch_make(char dir[64], const char *name);
/* Removes it and the files in it. */
void scratch_remove(const char *dir);

#endif
