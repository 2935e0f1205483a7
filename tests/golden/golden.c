/* SPDX-License-Identifier: Apache-2.0 */
/* See golden.h. */
#include "tests/golden/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL "SmolLM2-135M-Instruct.Q4_1.gguf"

const char *golden_model(void)
{
	static char path[4096];
	const char *dir = getenv("SAKER_MODELS"), *home = getenv("HOME");

	if (dir && *dir)
		snprintf(path, sizeof(path), "%s/%s", dir, MODEL);
	else
		snprintf(path, sizeof(path), "%s/.cache/saker/%s", home ? home : "", MODEL);
	if (access(path, R_OK) != 0) {
		printf("SKIP: the model %s is not there\n", path);
		exit(GOLDEN_SKIP);
	}
	return path;
}

const char *golden_path(const char *name)
{
	static char path[4096];
	const char *dir = getenv("SAKER_GOLDEN");

	if (dir && *dir)
		snprintf(path, sizeof(path), "%s/%s", dir, name);
	else
		snprintf(path, sizeof(path), "%s/tests/golden/%s", GOLDEN_SRCDIR, name);
	return path;
}

char *golden_file(const char *name, size_t *ret_len)
{
	const char *path = golden_path(name);
	char *data = NULL;
	size_t len = 0, cap = 0, n;
	FILE *f;

	f = fopen(path, "rb");
	if (!f) {
		perror(path);
		exit(1);
	}
	do {
		if (len + 65536 > cap) {
			cap = cap * 2 + 131072;
			data = realloc(data, cap);
			if (!data)
				abort();
		}
		n = fread(data + len, 1, 65535, f);
		len += n;
	} while (n);
	fclose(f);
	data[len] = '\0';
	*ret_len = len;
	return data;
}

int golden_columns(char *line, char **columns, int max)
{
	int n = 0;

	while (n < max) {
		columns[n++] = line;
		line = strchr(line, '\t');
		if (!line)
			break;
		*line++ = '\0';
	}
	return n;
}

static int hex(char c)
{
	return c <= '9' ? c - '0' : (c | 32) - 'a' + 10;
}

size_t golden_unescape(char *s)
{
	char *from = s, *to = s;

	for (; *from; from++) {
		if (*from != '\\') {
			*to++ = *from;
			continue;
		}
		switch (*++from) {
		case 't': *to++ = '\t'; break;
		case 'n': *to++ = '\n'; break;
		case 'r': *to++ = '\r'; break;
		case '0': *to++ = '\0'; break;
		case 'x': *to++ = (char)(hex(from[1]) * 16 + hex(from[2])); from += 2; break;
		default:  *to++ = *from;
		}
	}
	*to = '\0';
	return (size_t)(to - s);
}

size_t golden_runs(const char *s, int32_t **ret)
{
	size_t len = 0, cap = 0;
	int32_t *v = NULL;
	char *end;
	long id, n;

	while (*s) {
		id = strtol(s, &end, 10);
		n = *end == '*' ? strtol(end + 1, &end, 10) : 1;
		s = end + (*end == ' ');
		for (; n > 0; n--) {
			if (len == cap) {
				cap = cap * 2 + 64;
				v = realloc(v, cap * sizeof(*v));
				if (!v)
					abort();
			}
			v[len++] = (int32_t)id;
		}
	}
	*ret = v;
	return len;
}
