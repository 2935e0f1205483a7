/* SPDX-License-Identifier: Apache-2.0 */
/* See card.h. */
#include "fcgi/card.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CARD_MAX ((size_t)64 << 10)
#define KEY "pipeline_tag:"

/* The next line without its end; false behind the last one. */
static bool line_next(const char **io_s, const char *end, const char **ret_line, size_t *ret_len)
{
	const char *s = *io_s, *newline;

	if (s == end)
		return false;
	newline = memchr(s, '\n', (size_t)(end - s));
	*ret_line = s;
	*ret_len = (size_t)((newline ? newline : end) - s);
	*io_s = newline ? newline + 1 : end;
	if (*ret_len && s[*ret_len - 1] == '\r')
		--*ret_len;
	return true;
}

static bool is_fence(const char *line, size_t len)
{
	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	return len == 3 && !memcmp(line, "---", 3);
}

/* The word of a value, with nothing but a comment behind it. */
static bool word_take(const char *s, size_t len, char ret_tag[SK_CARD_TAG_MAX])
{
	const char *end = s + len;
	size_t n = 0;
	char quote = 0;

	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	if (s < end && (*s == '"' || *s == '\''))
		quote = *s++;
	while (s + n < end && ((s[n] >= 'a' && s[n] <= 'z') || (s[n] >= '0' && s[n] <= '9') || s[n] == '-'))
		n++;
	if (!n || n >= SK_CARD_TAG_MAX)
		return false;
	memcpy(ret_tag, s, n);
	s += n;
	if (quote && (s == end || *s++ != quote))
		return false;
	if (s < end && *s != ' ' && *s != '\t')
		return false;
	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	if (s < end && *s != '#')
		return false;
	ret_tag[n] = '\0';
	return true;
}

bool sk_card_tag(const char *card, size_t len, char ret_tag[SK_CARD_TAG_MAX])
{
	const char *end = card + len, *line;
	size_t n;

	ret_tag[0] = '\0';
	if (len >= 3 && !memcmp(card, "\xef\xbb\xbf", 3))
		card += 3;
	if (!line_next(&card, end, &line, &n) || !is_fence(line, n))
		return false;
	while (line_next(&card, end, &line, &n) && !is_fence(line, n)) {
		if (n < sizeof KEY - 1 || memcmp(line, KEY, sizeof KEY - 1))
			continue;
		if (word_take(line + sizeof KEY - 1, n - (sizeof KEY - 1), ret_tag))
			return true;
		ret_tag[0] = '\0';
		return false;
	}
	return false;
}

bool sk_card_read(const char *dir, char ret_tag[SK_CARD_TAG_MAX])
{
	char path[1024], *text = NULL;
	struct stat sb;
	ssize_t len = -1;
	int fd;

	ret_tag[0] = '\0';
	if ((size_t)snprintf(path, sizeof path, "%s/README.md", dir) >= sizeof path)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);     /* a pipe of this name is not waited for */
	if (fd < 0)
		return false;
	if (fstat(fd, &sb) == 0 && S_ISREG(sb.st_mode) && (text = malloc(CARD_MAX)))
		len = read(fd, text, CARD_MAX);
	close(fd);
	if (len > 0)
		sk_card_tag(text, (size_t)len, ret_tag);
	free(text);
	return ret_tag[0] != '\0';
}
